"""What is learned from several tasks: the mean over all of their targets, each asked and answered by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.assets import Assets, ReleasedCF, TfidfText
from genrec.backbones import CausalBackbone, T5Backbone
from genrec.data import Dataset, InMemory, SequenceData, Task
from genrec.data.samplers import Draw
from genrec.errors import GenrecError
from genrec.identifiers import ItemIdentifier, SETRec
from genrec.recommenders import SASRec
from genrec.recommenders.recommender import Recommender
from genrec.recommenders.tasks import losses_of_tasks, with_words
from genrec.testing import quiet_trainer
from genrec.testing.tiny import QWEN, T5
from genrec.types import Batch, Tokens
from genrec_baselines import SemID

from ..data.test_tasks import Sample, samples_of

KINDS = {
    "t5": (lambda: T5Backbone(sizes={**T5, "dropout_rate": 0.0}), "prefixes"),
    "causal": (lambda: CausalBackbone(sizes=dict(QWEN)), "prefixes"),
    "packed": (lambda: CausalBackbone(sizes=dict(QWEN)), "windows"),
}
TASKS = {
    "next": Task(["after <history> comes?"]),
    "next title": Task(["what follows <history>, in words"], "it is <title>"),
    "of titles": Task(["somebody took <titles>"]),
    "title": Task(["how is <item> called?"], "<title>"),
    "item": Task(["which is <title>?"]),
}


def made(identifier: ItemIdentifier, kind: str, dataset: Dataset, root: Path, tasks: Any = TASKS) -> Any:
    """A recommender that was set up, and its data."""
    backbone, samples = KINDS[kind]
    torch.manual_seed(0)
    module = Recommender(identifier, backbone(), Assets(TfidfText(dim=8), ReleasedCF(), str(root)), ks=(1, 2))
    data: Any = SequenceData(InMemory(dataset), batch_size=8, samples=samples, max_history=3, tasks=tasks)  # type: ignore[arg-type]
    quiet_trainer(max_steps=0, limit_val_batches=0).fit(module, data)
    return module.train(), data


def everything(data: SequenceData) -> Batch:
    """All samples of an epoch in one batch."""
    mixture: Any = data.train_dataloader().dataset
    return mixture[Draw(np.arange(len(mixture)))]


def losses_of(module: Recommender, batch: Batch) -> dict[str, Tensor]:
    return losses_of_tasks(batch.asked, module.backbone, module.identifier, module.words, module._losses_of)


def alone(module: Recommender, sample: Sample) -> Tensor:
    """The loss of one sample, without padding, packing or anything beside it."""
    before, items, after, target, answer = sample

    def words(text: str) -> Tokens:
        ids = module.backbone.tokenizer(text, add_special_tokens=False)["input_ids"]
        return Tokens.ordered(module.backbone.words(torch.tensor([ids], dtype=torch.long)))

    history = torch.tensor([items], dtype=torch.long)
    named = [module.identifier.embed(history)] if items else []
    context = Tokens.concat(words(before), *named, words(after))
    if answer is None:
        return module.identifier.loss(module.backbone, context, history, torch.tensor([target]))["loss"]
    vocabulary = module.identifier.token_sequences() or module.words
    ids = [*module.backbone.tokenizer(answer, add_special_tokens=False)["input_ids"], module.backbone.end]
    written = Tokens.ordered(vocabulary.look_up(torch.tensor([[module.backbone.start, *ids[:-1]]])))
    logits = module.backbone.head_scale * module.backbone(context, written)[0] @ vocabulary.head(module.backbone).T
    return F.cross_entropy(logits, torch.tensor(ids))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("identifier", [SemID, SETRec], ids=lambda cls: cls.__name__)
def test_the_loss_is_the_mean_over_all_samples_by_themselves(
    identifier: type[ItemIdentifier], kind: str, dataset: Dataset, tmp_path: Path
) -> None:
    module, data = made(identifier(), kind, dataset, tmp_path)
    batch = everything(data)
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.eval()
    losses = losses_of(module, with_words(module.backbone, batch))
    each = [(sample[-1] is None, alone(module, sample)) for sample in samples_of(batch)]
    assert len(each) == 3 * 8 * 3 + 2 * 8, "three tasks of eight users' last three places, two of eight warm items"
    for name, chosen in (("loss", (True, False)), ("items", (True,)), ("texts", (False,))):
        expected = torch.stack([loss for of_item, loss in each if of_item in chosen]).mean()
        torch.testing.assert_close(losses[name], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_one_kind_of_answers_keeps_in_step_and_counts_for_nothing_else(
    kind: str, dataset: Dataset, tmp_path: Path
) -> None:
    """Both kinds are computed in every process, whatever its share holds: the gradients of the others wait for them."""
    module, data = made(SETRec(), kind, dataset, tmp_path)
    mixture: Any = data.train_dataloader().dataset
    for rows, name in ((np.arange(3), "items"), (np.arange(len(mixture) - 3, len(mixture)), "texts")):
        batch = with_words(module.backbone, mixture[Draw(rows)])
        assert sorted(part.share for part in batch.asked) == [0, 1]
        losses = losses_of(module, batch)
        assert {"items", "texts"} & set(losses) == {name}
        torch.testing.assert_close(losses["loss"], losses[name])
        module.zero_grad()
        losses["loss"].backward()
        learned = [p for p in module.parameters() if p.requires_grad]
        assert all(p.grad is not None for p in learned)


def test_what_has_no_language_model_refuses_tasks(dataset: Dataset, tmp_path: Path) -> None:
    data = SequenceData(InMemory(dataset), tasks=TASKS)
    with pytest.raises(GenrecError, match="SASRec has no language model to be asked anything"):
        quiet_trainer(max_steps=1).fit(SASRec(ks=(1, 2)), data)

"""The first steps, in which the language model stands still."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, Qwen2Config

from genrec.backbones import Backbone, CausalBackbone, LoRA, T5Backbone
from genrec.backbones.words import load_tokenizer
from genrec.data import Dataset, InMemory, SequenceData
from genrec.errors import GenrecError
from genrec.identifiers import TokenSequence
from genrec.recommenders.recommender import Recommender
from genrec.testing import quiet_trainer
from genrec.testing.tiny import QWEN, T5
from genrec.training.callbacks import Continuation

from ..identifiers.sequences import Given

PATHS = [[item // 4, 3 + item % 4] for item in range(12)]
LEARNING = {"lr": 0.01}


def backbone_of(kind: str, dataset: Dataset, folder: Path) -> Backbone:
    if kind == "t5":
        return T5Backbone(sizes={**T5, "dropout_rate": 0})
    if kind == "causal":
        return CausalBackbone(sizes=dict(QWEN))
    if not (folder / "pretrained").exists():
        tokenizer = load_tokenizer(None, dataset.catalog.titles)
        config = Qwen2Config(vocab_size=len(tokenizer), **QWEN)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder / "pretrained")
        tokenizer.save_pretrained(folder / "pretrained")
    return CausalBackbone(str(folder / "pretrained"), tuning="lora", lora=LoRA(dropout=0), dtype="bfloat16")


def values(part: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in part.named_parameters() if value.requires_grad}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, value in after.items() if not torch.equal(before[name], value)}


class Watched(Recommender):
    """Remembers what it began with, and its gradients when they were clipped."""

    def on_train_start(self) -> None:
        super().on_train_start()
        self.first = values(self)
        self.seen: list[set[str]] = []

    def configure_gradient_clipping(self, *args: Any, **options: Any) -> None:
        self.seen.append({name for name, value in self.named_parameters() if value.grad is not None})
        super().configure_gradient_clipping(*args, **options)


def fit(
    kind: str, dataset: Dataset, folder: Path, steps: int, frozen: int, checkpoint: Path | None = None
) -> tuple[Watched, Any]:
    torch.manual_seed(0)
    backbone = backbone_of(kind, dataset, folder)
    identifier = Given(PATHS)
    optimizer = lambda groups: torch.optim.AdamW(groups, **LEARNING)  # noqa: E731
    torch.manual_seed(0)
    module = Watched(
        identifier, backbone, optimizer=optimizer, ks=(1,), warmup_steps=0, schedule="constant", frozen_steps=frozen
    )
    kept = ModelCheckpoint(folder / f"{kind}{steps}", "{step}", save_top_k=-1, every_n_train_steps=1)
    trainer = quiet_trainer(
        max_steps=steps,
        callbacks=[Continuation(), kept],
        enable_checkpointing=True,
        limit_val_batches=0,
        gradient_clip_val=1.0,
        default_root_dir=folder,
    )
    data = SequenceData(InMemory(dataset), batch_size=8)
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    return module, trainer.optimizers[0]


@pytest.mark.parametrize("kind", ["t5", "causal", "lora"])
def test_new_tokens_learn_alone_at_first_and_a_resumed_training_goes_on_so(
    kind: str, dataset: Dataset, tmp_path: Path
) -> None:
    still, optimizer = fit(kind, dataset, tmp_path, steps=2, frozen=2)
    moved = changed(still.first, values(still))
    assert moved == {name for name in still.first if name.startswith("identifier.")}
    assert moved
    # What stands still is not clipped with the rest, and its averages have not begun.
    assert still.seen == [moved, moved]
    assert len(optimizer.state) == len(moved)

    whole, optimizer = fit(kind, dataset, tmp_path, steps=4, frozen=2)
    assert changed(still.first, values(whole)) > moved
    assert [seen == moved for seen in whole.seen] == [True, True, False, False]
    counts = {float(state["step"]) for state in optimizer.state.values()}
    assert counts == {4, 2}

    (middle,) = (tmp_path / f"{kind}4").glob("*step=1*")
    resumed, _ = fit(kind, dataset, tmp_path, steps=4, frozen=2, checkpoint=middle)
    assert [seen == moved for seen in resumed.seen] == [True, False, False]
    assert changed(values(whole), values(resumed)) == set()


def test_without_the_key_all_learn_from_the_first_step_on(dataset: Dataset, tmp_path: Path) -> None:
    module, _ = fit("causal", dataset, tmp_path, steps=1, frozen=0)
    assert {name.split(".")[0] for name in changed(module.first, values(module))} == {"identifier", "backbone"}


class Words(TokenSequence):
    """Identifiers of the language model's own words."""

    def name_items(self, catalog: Any, assets: Any, known: np.ndarray) -> np.ndarray:
        return np.array([[3 + row // 4, 10 + row % 4] for row in range(len(known), len(catalog))])


def test_with_nothing_that_learns_alone_the_key_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    module = Recommender(Words(), CausalBackbone(sizes=dict(QWEN)), ks=(1,), frozen_steps=5)
    with pytest.raises(GenrecError, match=r"`frozen_steps: 5` .* Words has nothing that learns: leave it out"):
        quiet_trainer(max_steps=1, default_root_dir=tmp_path).fit(module, SequenceData(InMemory(dataset)))

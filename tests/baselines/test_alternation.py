"""Alternating training: what is soft, who learns, and what becomes of the names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from genrec.assets import Assets, GeneratedTags, KeywordTags
from genrec.backbones import T5Backbone
from genrec.backbones.words import load_tokenizer
from genrec.data import Dataset, InMemory, SequenceData, Task
from genrec.errors import GenrecError
from genrec.recommenders.prompts import Prompt
from genrec.recommenders.recommender import Recommender
from genrec.testing import HISTORY, TARGET, quiet_trainer
from genrec.testing.tiny import T5
from genrec.types import PAD
from genrec_baselines import CID, AlternatingTraining, IDGenRec


@pytest.fixture(scope="module")
def writer(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny tag writer, whose vocabulary the language models of these tests share."""
    folder = tmp_path_factory.mktemp("writer")
    tokenizer = load_tokenizer(None, dataset.catalog.titles, Prompt().texts)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(23)
    config = T5Config(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, **T5)  # type: ignore[arg-type]
    model = T5ForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            torch.nn.init.normal_(parameter, std=3.0 if "shared" in name else 0.3)
        # Some tags end early.
        model.shared.weight[1] *= 2
    model.save_pretrained(folder)
    return str(folder)


class Fit:
    """A recommender that is trained with a callback."""

    def __init__(
        self,
        dataset: Dataset,
        folder: Path,
        callback: AlternatingTraining,
        identifier: Any = None,
        tokenizer: str | None = None,
    ) -> None:
        torch.manual_seed(1)
        self.folder, self.callback = folder, callback
        self.data = SequenceData(InMemory(dataset), batch_size=16)
        assets = Assets(root=str(folder / "assets"))
        identifier = identifier or IDGenRec(KeywordTags())
        backbone = T5Backbone(sizes=dict(T5), tokenizer=tokenizer or callback.model)
        self.module: Any = Recommender(identifier, backbone, assets, ks=(1, 2))

    def trainer(self, **options: Any) -> L.Trainer:
        return quiet_trainer(default_root_dir=self.folder, callbacks=[self.callback], **options)

    def begin(self) -> None:
        """Everything that is there when the first epoch begins."""
        self.trainer(max_epochs=0).fit(self.module, self.data)

    def codes(self) -> list[list[int]]:
        return [[token for token in row if token != PAD] for row in self.module.identifier.names.codes.tolist()]


@pytest.fixture
def fit(dataset: Dataset, tmp_path: Path, writer: str) -> Fit:
    made = Fit(dataset, tmp_path, AlternatingTraining(writer))
    made.begin()
    # Nothing of what is tested is by chance.
    made.module.eval()
    return made


def test_with_certain_words_the_soft_prompt_is_the_hard_one(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    """One-hot probabilities; the items' names are the greedy tags."""
    callback, module = fit.callback, fit.module
    texts = module.catalog.texts()
    seen: list[Tensor] = []
    mean_words = callback.mean_words

    def certain(module: Any, weights: Tensor) -> Tensor:
        seen.append(weights.argmax(2))
        return mean_words(module, torch.nn.functional.one_hot(seen[-1], weights.shape[2]).float())

    monkeypatch.setattr(callback, "mean_words", certain)
    _, real = callback.soft_names(module, texts)
    rows = [tokens[keep].tolist() for tokens, keep in zip(seen[0], real, strict=True)]
    assert all(rows)
    module.identifier.names.codes = torch.tensor([[*row, *[PAD] * (9 - len(row))] for row in rows])
    soft = callback.loss(module, HISTORY, TARGET, texts)
    context = module.prompt(module.backbone, module.identifier.embed(HISTORY))
    hard = module.identifier.loss(module.backbone, context, HISTORY, TARGET)["loss"]
    torch.testing.assert_close(soft, hard, atol=1e-5, rtol=0)


def test_soft_names_are_greedy_and_end_where_the_tag_does(fit: Fit) -> None:
    callback, module = fit.callback, fit.module
    texts, model = module.catalog.texts(), fit.callback.writer.model
    embeds, real = callback.soft_names(module, texts)
    lengths = set()
    for row, text in enumerate(texts):
        ids, mask = callback.writer.read([text])
        beam = [0]
        for place in range(embeds.shape[1]):
            logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=torch.tensor([beam])).logits[0, -1]
            expected = logits.softmax(0) @ module.backbone.head()
            torch.testing.assert_close(embeds[row, place], expected, atol=1e-4, rtol=1e-4)
            beam.append(int(logits.argmax()))
            word = module.backbone.tokenizer.decode([beam[-1]])
            letters = any(c.isalnum() or c == "_" for c in word) or not word.strip()
            assert bool(real[row, place]) == (beam[-1] != 1 and letters)
            if beam[-1] == 1:
                break
        lengths.add(len(beam))
        assert not real[row, len(beam) - 1 :].any()
    assert len(lengths) > 1, "some tags end early"
    assert (~real[:, :2]).any(), "some words are punctuation"


def test_the_writer_learns_and_the_recommender_does_not(fit: Fit) -> None:
    callback, module = fit.callback, fit.module
    texts = module.catalog.texts()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    wrote = [parameter.clone() for parameter in callback.writer.model.parameters()]
    callback.optimizer.param_groups[0]["lr"] = 1e-3
    callback.step(module, HISTORY, TARGET, texts)
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    moved = [not torch.equal(old, new) for old, new in zip(wrote, callback.writer.model.parameters(), strict=True)]
    assert all(moved)
    norm = sum(float(parameter.grad.square().sum()) for parameter in callback.writer.model.parameters()) ** 0.5
    assert 0 < norm <= 1 + 1e-5


def test_the_writer_finds_names_that_help(fit: Fit) -> None:
    callback, module = fit.callback, fit.module
    callback.optimizer.param_groups[0]["lr"] = 3e-3
    losses = [callback.step(module, HISTORY, TARGET, module.catalog.texts()) for _ in range(30)]
    assert sum(losses[-5:]) < sum(losses[:5])


def test_a_round_comes_before_every_so_many_epochs(
    dataset: Dataset, tmp_path: Path, writer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = AlternatingTraining(writer, rounds=2, epochs=2, lr=1e-2, batch_size=5)
    made = Fit(dataset, tmp_path, callback)
    names: list[list[list[int]]] = []

    class Watch(L.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            names.append(made.codes())

    trainer = made.trainer(max_epochs=6)
    trainer.callbacks.append(Watch())  # type: ignore[attr-defined]
    trainer.fit(made.module, made.data)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("round ")]
    assert [line.split(":")[0] for line in said] == ["round 1", "round 2"]
    assert names[0] == names[1] != names[2]
    assert names[2] == names[3] == names[4] == names[5]
    assert all(len({tuple(row) for row in each}) == 12 for each in names)
    made.module.eval()
    with torch.no_grad():
        found = made.module.rank(HISTORY, 12, torch.ones(1, 12, dtype=torch.bool))
    assert found.items[0].sort(1).values.tolist() == [list(range(12))] * 3


def test_names_are_those_of_the_writer(dataset: Dataset, tmp_path: Path, writer: str) -> None:
    made = Fit(dataset, tmp_path, AlternatingTraining(writer, rounds=1, lr=0.0))
    made.trainer(max_epochs=1).fit(made.module, made.data)
    other = Fit(dataset, tmp_path, AlternatingTraining(writer), IDGenRec(GeneratedTags(writer)))
    other.begin()
    assert made.codes() == other.codes()


def test_settled_names_end_it(
    dataset: Dataset, tmp_path: Path, writer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Fit(dataset, tmp_path, AlternatingTraining(writer, rounds=5, epochs=1, lr=0.0))
    made.trainer(max_epochs=4).fit(made.module, made.data)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("round ")]
    assert len(said) == 2
    assert "100.0% of the names" in said[0]
    assert " 0.0% of the names" in said[1]


def test_a_resumed_fit_has_the_writer_of_the_checkpoint(dataset: Dataset, tmp_path: Path, writer: str) -> None:
    made = Fit(dataset, tmp_path, AlternatingTraining(writer, rounds=1, epochs=1, lr=1e-2))
    trainer = made.trainer(max_epochs=1)
    trainer.fit(made.module, made.data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = Fit(dataset, tmp_path, AlternatingTraining(writer, rounds=1, epochs=1, lr=1e-2))
    again.trainer(max_epochs=2).fit(again.module, again.data, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert again.codes() == made.codes()
    expected, found = made.callback.writer.model.state_dict(), again.callback.writer.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert len(again.callback.optimizer.state) == len(made.callback.optimizer.state) > 0

    # A test has the names, and needs no writer.
    tested = Fit(dataset, tmp_path, AlternatingTraining("nowhere"), tokenizer=writer)
    tested.trainer().test(tested.module, tested.data, tmp_path / "last.ckpt", verbose=False, weights_only=True)
    assert tested.codes() == made.codes()


def test_another_vocabulary_is_refused(dataset: Dataset, tmp_path: Path, writer: str) -> None:
    made = Fit(dataset, tmp_path, AlternatingTraining(writer))
    made.module.backbone = T5Backbone(sizes=dict(T5))
    made.module.backbone.setup = lambda *texts: T5Backbone.setup(made.module.backbone, ["quite another"])
    with pytest.raises(GenrecError, match="are not those of the language model"):
        made.begin()


def test_another_method_is_refused(dataset: Dataset, tmp_path: Path, writer: str) -> None:
    with pytest.raises(GenrecError, match="train a Recommender with one"):
        Fit(dataset, tmp_path, AlternatingTraining(writer), CID()).begin()


def test_other_tasks_are_refused(dataset: Dataset, tmp_path: Path, writer: str) -> None:
    made = Fit(dataset, tmp_path, AlternatingTraining(writer))
    made.data = SequenceData(InMemory(dataset), tasks={"next": Task(["<history>"])})
    with pytest.raises(GenrecError, match=r"leave out `data\.tasks`"):
        made.begin()

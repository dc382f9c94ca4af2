"""What happens after the training split must not reach anything that is trained or counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import lightning as L
import numpy as np
import polars as pl
import pytest
import torch

from genrec.assets import Assets, TfidfText
from genrec.backbones import T5Backbone
from genrec.data import Dataset, InMemory, Ragged, SequenceData, Synthetic
from genrec.data.interactions import deduplicate
from genrec.data.splits import Split, split
from genrec.data.timelines import Timelines
from genrec.errors import GenrecError
from genrec.identifiers import SETRec
from genrec.recommenders import SASRecCF
from genrec.recommenders.recommender import Recommender
from genrec.recommenders.references import ItemKNN, Popularity
from genrec.testing import quiet_trainer
from genrec.types import Batch


@pytest.fixture(scope="module")
def honest() -> Dataset:
    return Synthetic(users=150, items=140).load(Path())


def tampered(dataset: Dataset, validation: bool = False) -> Dataset:
    """The same data set with other items in the test (and validation) lists."""

    def other(lists: Ragged) -> Ragged:
        return Ragged((lists.values + 1) % len(dataset.catalog), lists.offsets)

    return Dataset(
        dataset.name,
        dataset.catalog,
        dataset.users,
        dataset.train,
        other(dataset.validation) if validation else dataset.validation,
        other(dataset.test),
    )


def same(left: Batch, right: Batch) -> bool:
    """Whether two batches, neither of them packed, hold the same."""
    assert left.prefixes is None
    assert right.prefixes is None
    return all(map(torch.equal, left[:4], right[:4])) and left[4:] == right[4:]


@pytest.mark.parametrize("samples", ["prefixes", "users"])
def test_no_training_batch_changes(honest: Dataset, samples: str) -> None:
    before, after = (
        list(SequenceData(InMemory(data), samples=samples).train_dataloader())  # type: ignore[arg-type]
        for data in (honest, tampered(honest, validation=True))
    )
    assert len(before) == len(after) > 0
    for left, right in zip(before, after, strict=True):
        assert same(left, right)


def test_no_validation_batch_changes_with_the_test_items(honest: Dataset) -> None:
    before, after = (list(SequenceData(InMemory(data)).val_dataloader()) for data in (honest, tampered(honest)))
    for left, right in zip(before, after, strict=True):
        assert same(left, right)


def test_no_asset_changes(honest: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for place, data in (("honest", honest), ("tampered", tampered(honest))):
        # A store of its own for each, so that both are built.
        store = Assets(TfidfText(dim=8), SASRecCF(dim=8, max_epochs=3), root=str(tmp_path / place))
        assets = store.bind(data)
        found.append((assets.text, assets.cf, sorted(path.name for path in (tmp_path / place).glob("*-*"))))
    assert capsys.readouterr().out.count("building") == 4
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert found[0][2] == found[1][2], "the store takes them for the same"


@pytest.mark.parametrize("method", [Popularity, ItemKNN])
def test_no_count_changes(honest: Dataset, method: type[Popularity | ItemKNN]) -> None:
    history = torch.arange(20).view(2, 10)
    rankings = []
    for data in (honest, tampered(honest, validation=True)):
        module = method()
        trainer = quiet_trainer()
        trainer.test(module, SequenceData(InMemory(data)), verbose=False)
        rankings.append(module.rank(history, 10, torch.ones(1, len(data.catalog), dtype=torch.bool)))
    assert torch.equal(rankings[0].items, rankings[1].items)
    assert torch.equal(rankings[0].scores, rankings[1].scores)


def test_no_trained_parameter_changes(honest: Dataset, tmp_path: Path) -> None:
    sizes = {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 4}
    states = []
    for data in (honest, tampered(honest)):
        L.seed_everything(0)
        module = Recommender(
            SETRec(n_semantic=1, use_cf=False), T5Backbone(sizes=dict(sizes)), Assets(TfidfText(dim=8), root=tmp_path)
        )
        quiet_trainer(max_steps=3).fit(module, SequenceData(InMemory(data)))
        states.append(module.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


@dataclass(frozen=True)
class Leaky(Split):
    """A rule that says it hides the future and does not."""

    min_train: int = 1
    remedy = ""

    def label(self, lines: Timelines) -> np.ndarray:
        return (np.arange(len(lines)) % 3).astype(np.int8)


def test_a_split_that_shows_the_future_is_refused() -> None:
    rows = [(f"u{n % 2}", f"i{n}", float(n), n) for n in range(30)]
    frame = deduplicate(pl.DataFrame(rows, ["user", "item", "time", "row"], orient="row"))
    with pytest.raises(GenrecError, match="training would see the future"):
        split("leaky", Timelines.of(frame), None, Leaky())


def test_similar_rows_are_no_similar_times() -> None:
    data = Synthetic(users=300, items=300).load(Path())
    values, rows = data.train.values, data.train.rows
    follow = rows[1:] == rows[:-1]
    steps = np.abs(np.diff(values)[follow])
    # Two rows drawn at random are a third of the catalogue apart on average.
    assert steps.mean() > 0.25 * len(data.catalog)

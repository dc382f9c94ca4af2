from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from genrec.assets import AssetStore, ReleasedCF
from genrec.data import Dataset, Ragged
from genrec.errors import GenrecError
from genrec.recommenders import SASRecCF

COLD = [4, 5, 10, 11]
TINY = SASRecCF(dim=8, dropout=0.2, max_epochs=2, patience=1, seed=0)


def with_splits(dataset: Dataset, train: Ragged, validation: Ragged, test: Ragged) -> Dataset:
    return Dataset(dataset.name, dataset.catalog, dataset.users, train, validation, test, dataset.cf)


def test_the_released_table_is_passed_on(dataset: Dataset, tmp_path: Path) -> None:
    table = AssetStore(tmp_path).get(ReleasedCF(), dataset)["embeddings"]
    np.testing.assert_array_equal(table, dataset.cf)


def test_cold_rows_can_be_replaced(dataset: Dataset, tmp_path: Path) -> None:
    assert dataset.cf is not None
    warm = [row for row in range(12) if row not in COLD]
    expected = {"mean": dataset.cf[warm].sum(0) / 8, "zero": np.zeros(6)}
    before = dataset.cf.copy()
    for cold in ("mean", "zero"):
        table = ReleasedCF(cold=cold).build(dataset, tmp_path)["embeddings"]  # type: ignore[arg-type]
        np.testing.assert_array_equal(table[warm], dataset.cf[warm])
        np.testing.assert_allclose(table[COLD], np.stack([expected[cold]] * 4), atol=1e-6)
    np.testing.assert_array_equal(dataset.cf, before)


def test_data_without_a_table_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    bare = Dataset("bare", dataset.catalog, dataset.users, dataset.train, dataset.validation, dataset.test)
    with pytest.raises(GenrecError, match=r"`bare` came without collaborative embeddings: use SASRecCF"):
        AssetStore(tmp_path).get(ReleasedCF(), bare)


def test_released_fingerprint_holds_what_decides_the_result(dataset: Dataset) -> None:
    assert dataset.cf is not None
    other = Dataset(
        dataset.name, dataset.catalog, dataset.users, dataset.train, dataset.validation, dataset.test, dataset.cf + 1
    )
    prints = [
        ReleasedCF().fingerprint(dataset),
        ReleasedCF(cold="zero").fingerprint(dataset),
        ReleasedCF().fingerprint(other),
    ]
    assert len({str(each) for each in prints}) == 3


def test_sasrec_table_is_the_same_every_time_and_leaves_the_random_state(dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = TINY.build(dataset, tmp_path / "first")["embeddings"]
    assert torch.equal(torch.rand(3), expected)
    second = TINY.build(dataset, tmp_path / "second")["embeddings"]
    assert first.shape == (12, 8)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, second)
    other = replace(TINY, seed=1).build(dataset, tmp_path / "third")["embeddings"]
    assert abs(first - other).max() > 0.01


def test_sasrec_never_looks_at_the_test_split(dataset: Dataset, tmp_path: Path) -> None:
    hidden = with_splits(dataset, dataset.train, dataset.validation, Ragged.from_lists([[0]] * 8))
    assert TINY.fingerprint(hidden) == TINY.fingerprint(dataset)
    np.testing.assert_array_equal(
        TINY.build(hidden, tmp_path / "hidden")["embeddings"], TINY.build(dataset, tmp_path / "seen")["embeddings"]
    )


def test_sasrec_takes_no_gradient_from_validation(dataset: Dataset, tmp_path: Path) -> None:
    # A single epoch leaves nothing to choose: what validation holds makes no difference.
    once = replace(TINY, max_epochs=1)
    other = with_splits(dataset, dataset.train, Ragged.from_lists([[11]] * 8), dataset.test)
    np.testing.assert_array_equal(
        once.build(other, tmp_path / "other")["embeddings"], once.build(dataset, tmp_path / "own")["embeddings"]
    )
    assert once.fingerprint(other) != once.fingerprint(dataset)


def test_sasrec_fingerprint_holds_what_decides_the_result(dataset: Dataset) -> None:
    other = with_splits(dataset, dataset.test, dataset.validation, dataset.test)
    variants = [TINY, replace(TINY, loss="bce"), replace(TINY, cold="mean"), replace(TINY, max_epochs=3)]
    prints = [*(each.fingerprint(dataset) for each in variants), TINY.fingerprint(other)]
    assert len({str(each) for each in prints}) == 5


def cosines(table: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    return float((unit[first] * unit[second]).sum(1).mean())


def test_neighbours_in_the_released_toys_lists_are_close_in_its_table(
    shared: Path, released: Callable[[str], Dataset]
) -> None:
    toys = released("toys")
    table = ReleasedCF().build(toys, shared)["embeddings"]
    assert table.shape == (11_908, 64)
    values = toys.train.values
    within = np.ones(len(values) - 1, dtype=bool)
    within[toys.train.offsets[1:-1] - 1] = False
    items, following = values[:-1][within], values[1:][within]
    strangers = np.random.default_rng(0).permutation(following)
    assert cosines(table, items, following) > 2 * cosines(table, items, strangers)
    # One row off, as in an id that counts from 1, and the table says nothing: neighbours are as far as strangers.
    off = np.roll(table, 1, axis=0)
    assert cosines(off, items, following) == pytest.approx(cosines(off, items, strangers), abs=0.02)

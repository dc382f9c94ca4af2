from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrec.data import Amazon, Catalog, Dataset, InMemory, Ragged
from genrec.errors import GenrecError


def make(train: list[list[int]], validation: list[list[int]], test: list[list[int]], cf: np.ndarray | None = None):
    catalog = Catalog(pl.DataFrame({"item": list("abcd")}))
    return Dataset("tiny", catalog, ["u", "v"], *map(Ragged.from_lists, (train, validation, test)), cf)


def test_frequency_and_warm_count_training_only() -> None:
    dataset = make([[0, 1, 0], [1]], [[2], []], [[], [3]])
    assert dataset.frequency.tolist() == [2, 2, 0, 0]
    assert dataset.warm.tolist() == [True, True, False, False]
    assert InMemory(dataset).load(Path()) is dataset


@pytest.mark.parametrize("item", [4, -1])
def test_an_item_outside_the_catalogue_is_named(item: int) -> None:
    with pytest.raises(GenrecError, match=rf"tiny: item {item} in the validation list of user v .* 0 to 3"):
        make([[0], [1]], [[], [1, item]], [[2], []])


def test_an_empty_split() -> None:
    with pytest.raises(GenrecError, match="the test split is empty"):
        make([[0], [1]], [[1], []], [[], []])


def test_splits_of_different_users() -> None:
    with pytest.raises(GenrecError, match="the test split has 1 users, not 2"):
        make([[0], [1]], [[1], []], [[2]])


def test_embeddings_of_another_catalogue() -> None:
    with pytest.raises(GenrecError, match=r"shape \[3, 8\], but the catalogue has 4 items"):
        make([[0], [1]], [[1], []], [[2], []], np.zeros((3, 8), np.float32))


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "..", "a\\b", "/etc/passwd", "\0"])
def test_a_name_that_leads_elsewhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match="cannot be called"):
        replace(make([[0], [1]], [[], [1]], [[2], []]), name=name)
    if name:
        with pytest.raises(GenrecError, match="cannot be called"):
            Amazon("Pens", name=name).load(tmp_path)
    assert not list(tmp_path.iterdir())

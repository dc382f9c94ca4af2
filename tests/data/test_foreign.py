from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrec.data import Catalog, Dataset, Foreign, InMemory, Ragged, SequenceData
from genrec.data.origin import Origin
from genrec.errors import GenrecError
from genrec.evaluation.protocol import RankingMetrics, popularity_groups
from genrec.types import PAD


def shop(name: str, users: list[str], lists: list[list[list[int]]], titles: bool = True) -> Dataset:
    items = pl.DataFrame({"item": ["x", "y", "z"], "title": [f"{name} {item}" if titles else None for item in "xyz"]})
    return Dataset(name, Catalog(items), users, *map(Ragged.from_lists, lists))


TOYS = shop("toys", ["u", "v", "w"], [[[0, 1], [1], [2, 0]], [[2], [], [1]], [[0], [2], [1]]])
BEAUTY = shop("beauty", ["w", "b", "u"], [[[0], [1, 2], [2, 1]], [[1], [], []], [[2], [0], []]])
"""``u`` and ``w`` are users of both; ``x`` is another item in each."""


def data(**options: Any) -> SequenceData:
    return SequenceData(InMemory(TOYS), foreign=Foreign([InMemory(BEAUTY)], **options))


def rows(loader: Any) -> dict[int, tuple[list[int], list[int]]]:
    return {
        user: ([item for item in history if item != PAD], [item for item in targets if item != PAD])
        for batch in loader
        for user, history, targets in zip(
            *(part.tolist() for part in (batch.users, batch.history, batch.targets)), strict=True
        )
    }


def test_foreign_items_stand_behind_and_are_no_candidates() -> None:
    joined = data().dataset
    assert list(joined.catalog.keys) == ["x", "y", "z", "beauty:x", "beauty:y", "beauty:z"]
    assert joined.candidates.tolist() == [True] * 3 + [False] * 3
    assert joined.frequency.tolist() == [2, 2, 1, 0, 0, 0]
    metrics = RankingMetrics(joined.frequency, (1,), allowed=joined.candidates)
    assert metrics.settings[:2] == ("all", "warm")
    assert metrics.allowed.tolist() == [[True] * 3 + [False] * 3] * 2
    assert metrics.groups[:3].tolist() == popularity_groups(TOYS.frequency).tolist()
    assert metrics.groups[3:].tolist() == [-1] * 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {0: ([5, 4, 0, 1, 2], [0]), 2: ([3, 4, 2, 0, 1], [1])}),
        ({"history": "foreign"}, {0: ([5, 4], [0]), 2: ([3, 4], [1])}),
        ({"history": "own"}, {0: ([0, 1, 2], [0]), 2: ([2, 0, 1], [1])}),
        ({"history": "foreign", "splits": "training"}, {0: ([5, 4], [0]), 2: ([3], [1])}),
    ],
)
def test_who_is_a_user_of_both_is_tested(options: dict[str, Any], expected: dict[int, Any]) -> None:
    assert rows(data(**options).test_dataloader()) == expected


def test_a_validation_reads_what_was_taken_in_training() -> None:
    assert rows(data().val_dataloader()) == {0: ([5, 4, 0, 1], [2]), 2: ([3, 2, 0], [1])}


def test_all_users_are_recommended_something() -> None:
    found = rows(data().predict_dataloader())
    assert {user: history for user, (history, _) in found.items()} == {
        0: [5, 4, 0, 1, 2, 0],
        1: [1, 2],
        2: [3, 4, 5, 2, 0, 1, 1],
    }


def test_the_users_of_others_in_the_place_of_ones_own() -> None:
    module = data(users="theirs")
    assert list(module.dataset.users) == ["beauty:w", "beauty:b", "beauty:u"]
    assert module.dataset.frequency.tolist() == [2, 2, 1, 0, 0, 0]
    found = rows(module.predict_dataloader())
    assert {user: history for user, (history, _) in found.items()} == {0: [3, 4, 5], 1: [4, 5, 3], 2: [5, 4]}
    with pytest.raises(GenrecError, match="`genrec predict` recommends to them"):
        module.test_dataloader()


def test_a_data_set_is_foreign_to_itself() -> None:
    """So it is measured what is lost where items are known by their text alone."""
    module = SequenceData(InMemory(TOYS), foreign=Foreign([InMemory(TOYS)], history="foreign"))
    assert rows(module.test_dataloader()) == {0: ([3, 4, 5], [0]), 1: ([4], [2]), 2: ([5, 3, 4], [1])}


def test_rows_follow_those_of_the_training() -> None:
    """The items of the checkpoint stood in another order."""
    joined = data().dataset
    order = np.array([2, 0, 1])
    trained = Origin.of(Dataset("toys", Catalog(TOYS.catalog.items[order]), TOYS.users, *[TOYS.train] * 3), {})
    again = trained.renumbered(joined)
    assert list(again.catalog.keys) == ["z", "x", "y", "beauty:x", "beauty:y", "beauty:z"]
    assert [again.catalog.keys[item] for item in again.elsewhere[0][0]] == ["beauty:z", "beauty:y"]
    assert again.candidates.tolist() == joined.candidates.tolist()


NUMBERED = [shop(name, ["0", "1"], [[[0], [1]]] * 3) for name in ("toys", "beauty")]


@pytest.mark.parametrize(
    ("own", "other", "complaint"),
    [
        (TOYS, shop("other", ["q"], [[[0]]] * 3), "no user of `toys` with test items is a user of `other`"),
        (TOYS, shop("bare", ["u"], [[[0]]] * 3, titles=False), "none of the 3 items has any text"),
        (*NUMBERED, "are numbered in each"),
    ],
)
def test_what_cannot_be_read(own: Dataset, other: Dataset, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match=complaint):
        Foreign([InMemory(other)]).join(own, tmp_path)


def test_no_source() -> None:
    with pytest.raises(GenrecError, match=r"`data.foreign.sources` is empty"):
        Foreign([])

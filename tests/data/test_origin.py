from __future__ import annotations

import numpy as np
import pytest

from genrec.data import Dataset, Ragged, Texts, log
from genrec.data.numbers import mixed, numbers
from genrec.data.origin import Origin


def slow_sum(dataset: Dataset, lists: Ragged) -> str:
    """One interaction after another: its user, its place, its item."""
    users, items = numbers(dataset.users), numbers(dataset.catalog.keys)
    total = 0
    for user, taken in enumerate(lists):
        for place, item in enumerate(taken):
            user_and_place = np.array([(int(users[user]) + place) % 2**64], np.uint64)
            total += int(mixed(mixed(user_and_place) ^ items[[item]])[0])
    return f"{total % 2**64:016x}"


@pytest.mark.parametrize("together", [1 << 22, 9, 1])
def test_a_split_is_known_by_the_sum_over_its_interactions(
    dataset: Dataset, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "PART", together)
    kept = Origin.of(dataset, {})
    assert kept.splits == [slow_sum(dataset, lists) for lists in (dataset.train, dataset.validation, dataset.test)]
    order = np.array([3, 0, 1, 2, 7, 6, 5, 4])
    parts = [
        Ragged.from_lists(lists[user] for user in order) for lists in (dataset.train, dataset.validation, dataset.test)
    ]
    users = Texts(dataset.users[user] for user in order)
    moved = Dataset(dataset.name, dataset.catalog, users, *parts)
    assert kept.changes(moved) == ["the users are others, or in another order"]

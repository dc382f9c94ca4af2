from __future__ import annotations

import numpy as np
import pytest

from genrec.data import Ragged
from genrec.serving.own_items import MANY, check, own_items, parts, without


def made(lengths: list[int], n_items: int) -> Ragged:
    draw = np.random.default_rng(0)
    return Ragged.from_lists([draw.permutation(n_items)[:length].tolist() for length in lengths])


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_best_of_the_others_whoever_is_asked(size: int) -> None:
    """Against scores of every item, sorted; one of 64 users has taken 3,000 items."""
    n_items, k = 4000, 10
    lists = made([3000, 0, MANY, MANY + 1, *range(60)], n_items)
    candidates = np.arange(n_items) % 5 != 0
    scores = np.random.default_rng(1).normal(size=(len(lists), n_items))
    own = own_items(lists, candidates, repeats=False)
    seen, results = [], 0
    for part in parts(lists, own, candidates, k, size, 20):
        allowed = np.where(part.candidates, scores[part.users], -np.inf)
        found = np.argsort(-allowed, axis=1)[:, : part.depth]
        best = np.take_along_axis(found, without(found, own, part.users, k), 1)
        for user, items in zip(part.users, best, strict=True):
            others = candidates & ~np.isin(np.arange(n_items), lists[user])
            assert items.tolist() == np.argsort(-np.where(others, scores[user], -np.inf))[:k].tolist()
        seen += part.users.tolist()
        results = max(results, found.size)
    assert sorted(seen) == list(range(len(lists)))
    assert results <= max(size * (k + 64), k + MANY)


def test_the_depth_is_a_users_own() -> None:
    lists, candidates = made([0, 1, 2, 3, 5, 40, 40, 300], 400), np.ones(400, bool)

    def depths(users: list[int]) -> dict[int, int]:
        own = own_items(asked := Ragged.from_lists([lists[user].tolist() for user in users]), candidates, False)
        return {users[row]: part.depth for part in parts(asked, own, candidates, 10, 64, 20) for row in part.users}

    together = depths(list(range(8)))
    assert together == {0: 10, 1: 11, 2: 12, 3: 14, 4: 18, 5: 74, 6: 74, 7: 10}
    assert all(depths([user]) == {user: depth} for user, depth in together.items())


def test_items_that_are_no_candidates_need_no_depth() -> None:
    lists, candidates = made([30], 40), np.zeros(40, bool)
    candidates[lists[0][:2]] = True
    assert sorted(own_items(lists, candidates, False)[0]) == sorted(lists[0][:2])
    own = own_items(lists, candidates, repeats=True)
    check(own, candidates, 2)
    assert [part.depth for part in parts(lists, own, candidates, 2, 8, 20)] == [2]


def test_the_width_is_a_users_own() -> None:
    lists, candidates = made([0, 1, 8, 9, 17, 20, 300], 400), np.ones(400, bool)
    own = own_items(lists, candidates, repeats=True)
    widths = {int(user): part.width for part in parts(lists, own, candidates, 5, 64, 20) for user in part.users}
    assert widths == {0: 8, 1: 8, 2: 8, 3: 16, 4: 20, 5: 20, 6: 20}

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.permutation import Permutation


@given(st.integers(1, 3000), st.lists(st.integers(0, 2**40), min_size=1, max_size=3))
def test_every_number_stands_at_one_place(size: int, key: list[int]) -> None:
    order = Permutation(size, key)(np.arange(size))
    assert sorted(order.tolist()) == list(range(size))


def test_a_place_is_computed_by_itself() -> None:
    order = Permutation(1000, (1, 2))
    some = np.array([999, 5, 5, 0])
    assert order(some).tolist() == order(np.arange(1000))[some].tolist()
    assert order(np.empty(0, np.int64)).tolist() == []
    assert order(some).tolist() != Permutation(1000, (1, 3))(some).tolist(), "the key decides"


def test_more_numbers_than_there_is_memory_for() -> None:
    places = np.arange(10**14, 10**14 + 1000)
    found = Permutation(10**15, (3,))(places)
    assert len(np.unique(found)) == 1000
    assert found.min() >= 0
    assert abs(found.mean() / 10**15 - 0.5) < 0.05, "neighbours go everywhere"


def test_all_orders_of_five_come_up_equally_often() -> None:
    often = 20
    found = Counter(tuple(Permutation(5, (key,))(np.arange(5))) for key in range(120 * often))
    assert len(found) == 120
    far = sum((times - often) ** 2 / often for times in found.values())
    assert far < 119 + 4 * math.sqrt(2 * 119), "chi-square"


def test_neighbours_do_not_stay_together() -> None:
    steps = [np.diff(Permutation(200, (key,))(np.arange(200))) % 200 for key in range(500)]
    often = np.bincount(np.concatenate(steps), minlength=200)[1:]
    assert abs(often - 500).max() < 5 * math.sqrt(500)

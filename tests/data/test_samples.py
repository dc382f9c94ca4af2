from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data import Ragged
from genrec.data.samplers import Draw
from genrec.data.samples import Samples, last_positions, prediction, prefixes, ranking, windows
from genrec.recommenders.packing import one_by_one
from genrec.types import PAD

LISTS = st.lists(st.lists(st.integers(0, 30), max_size=9), min_size=1, max_size=6)


def rows_of(samples: Samples) -> list[tuple[int, list[int], int]]:
    """All samples in one batch: user, history without padding, target."""
    batch = samples[Draw(np.arange(len(samples)))]
    return [
        (user, [item for item in history if item != PAD], target)
        for user, history, target in zip(
            batch.users.tolist(), batch.history.tolist(), batch.target.tolist(), strict=True
        )
    ]


def packed_rows_of(samples: Samples) -> list[tuple[int, list[int], int]]:
    """The same of all prefixes of windows."""
    batch = samples[Draw(np.arange(len(samples)))]
    assert batch.prefixes is not None
    history, target = one_by_one(batch, batch.prefixes)
    rows = zip(batch.users[batch.prefixes.users].tolist(), history.tolist(), target.tolist(), strict=True)
    return [(user, [item for item in items if item != PAD], wanted) for user, items, wanted in rows]


@given(LISTS, st.integers(1, 6), st.booleans())
def test_prefixes_equal_a_slow_loop(lists: list[list[int]], max_history: int, empty_history: bool) -> None:
    of_users = [(user, items[-max_history:]) for user, items in enumerate(lists)]
    expected = [
        (user, window[:position], window[position])
        for user, window in of_users
        for position in range(0 if empty_history else 1, len(window))
    ]
    assert rows_of(prefixes(Ragged.from_lists(lists), max_history, empty_history)) == expected
    packed = windows(Ragged.from_lists(lists), max_history, empty_history)
    assert packed.sizes(np.arange(len(packed)))[1].sum() == len(expected)
    assert packed_rows_of(packed) == expected


@given(LISTS, st.integers(1, 6), st.booleans())
def test_last_positions_equal_a_slow_loop(lists: list[list[int]], max_history: int, empty_history: bool) -> None:
    expected = [(user, items[:-1][-max_history:], items[-1]) for user, items in enumerate(lists) if len(items) > 1]
    assert rows_of(last_positions(Ragged.from_lists(lists), max_history, empty_history)) == expected


def test_ranking_takes_users_with_targets_once_each() -> None:
    known = Ragged.from_lists([[1, 2, 3], [4], [5, 6]])
    samples = ranking(known, Ragged.from_lists([[7, 8, 7], [], [9]]), max_history=2)
    batch = samples[Draw(np.array([1, 0]))]
    assert batch.users.tolist() == [2, 0]
    assert batch.history.tolist() == [[5, 6], [2, 3]]
    assert batch.target.tolist() == [9, 7]
    assert batch.targets.tolist() == [[9, PAD], [7, 8]]


def test_prediction_has_no_targets() -> None:
    batch = prediction(Ragged.from_lists([[1, 2, 3], []]), max_history=2)[Draw(np.array([0, 1]))]
    assert batch.history.tolist() == [[2, 3], [PAD, PAD]]
    assert batch.target.tolist() == [PAD, PAD]
    assert batch.targets.shape == (2, 0)


def test_some_of_the_samples_are_samples_of_their_own() -> None:
    everything = prefixes(Ragged.from_lists([[1, 2, 3], [], [4, 5]]), 50, True)
    some = everything.some(3, seed=0)
    assert len(some) == 3
    assert len(set(map(str, rows_of(some)))) == 3
    assert all(row in rows_of(everything) for row in rows_of(some))
    assert rows_of(everything.some(3, seed=0)) == rows_of(some)
    assert everything.some(5, seed=0) is everything.some(None, seed=0) is everything


@pytest.mark.parametrize("make", [prefixes, windows, last_positions])
@pytest.mark.parametrize("long", [2, 200])
def test_what_is_kept_has_the_size_of_the_users(make, long: int) -> None:
    lists = Ragged.from_lists([range(long)] * 30)
    samples = make(lists, 100, True)
    kept = [value for value in vars(samples).values() if isinstance(value, np.ndarray)]
    assert [len(array) for array in kept] == [31]


@pytest.mark.parametrize("make", [prefixes, last_positions])
def test_training_batches_have_no_target_lists(make) -> None:
    assert make(Ragged.from_lists([[1, 2, 3]]), 50, True)[Draw(np.array([0]))].targets.shape == (1, 0)

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data import Ragged
from genrec.data.ragged import Joined
from genrec.types import PAD

LISTS = st.lists(st.lists(st.integers(0, 30), max_size=8), min_size=1, max_size=8)


def lists_of(ragged: Ragged) -> list[list[int]]:
    return [items.tolist() for items in ragged]


@given(LISTS)
def test_lists_come_back(lists: list[list[int]]) -> None:
    ragged = Ragged.from_lists(lists)
    assert lists_of(ragged) == lists
    assert ragged.lengths.tolist() == [len(items) for items in lists]
    assert ragged.values.dtype == ragged.offsets.dtype == np.int64


@given(LISTS, st.data())
def test_windows_equal_a_slow_loop(lists: list[list[int]], data: st.DataObject) -> None:
    users = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=10))
    stops = [data.draw(st.integers(0, len(lists[user]))) for user in users]
    widths = [data.draw(st.integers(0, 5)) for _ in users]

    expected = [
        lists[user][max(0, stop - width) : stop] for user, stop, width in zip(users, stops, widths, strict=True)
    ]
    longest = max([1, *map(len, expected)])
    windows = Ragged.from_lists(lists).windows(np.array(users, int), np.array(stops, int), np.array(widths, int))
    assert windows.tolist() == [[PAD] * (longest - len(window)) + window for window in expected]


def test_windows_of_one_width_keep_the_most_recent() -> None:
    ragged = Ragged.from_lists([[4, 5, 6, 7], [8]])
    windows = ragged.windows(np.array([0, 1, 0]), np.array([4, 1, 0]), 3)
    assert windows.tolist() == [[5, 6, 7], [PAD, PAD, 8], [PAD, PAD, PAD]]


def test_windows_have_a_column_even_if_all_are_empty() -> None:
    assert Ragged.from_lists([[]]).windows(np.array([0]), np.array([0]), 50).tolist() == [[PAD]]


@given(LISTS, st.data())
def test_join_is_user_by_user(lists: list[list[int]], data: st.DataObject) -> None:
    others = [data.draw(st.lists(st.integers(0, 30), max_size=4)) for _ in lists]
    joined = Ragged.from_lists(lists).join(Ragged.from_lists(others))
    assert lists_of(joined) == [mine + theirs for mine, theirs in zip(lists, others, strict=True)]


@given(LISTS, st.data())
def test_joined_lists_look_like_lists_that_were_joined(lists: list[list[int]], data: st.DataObject) -> None:
    others = [data.draw(st.lists(st.integers(0, 30), max_size=4)) for _ in lists]
    users = np.array(data.draw(st.lists(st.integers(0, len(lists) - 1), min_size=1, max_size=10)))
    parts = [Ragged.from_lists(part) for part in (lists, others, lists)]
    joined, whole = Joined(parts), parts[0].join(parts[1]).join(parts[2])
    assert len(joined) == len(whole)
    assert joined.sizes(users).tolist() == whole.sizes(users).tolist() == whole.lengths[users].tolist()
    stops = data.draw(st.integers(0, 20))
    stops = np.minimum(stops, whole.sizes(users))
    assert joined.windows(users, stops, 3).tolist() == whole.windows(users, stops, 3).tolist()
    assert joined.padded(users).tolist() == whole.padded(users).tolist()


@given(LISTS, st.data())
def test_lists_that_are_taken_are_those(lists: list[list[int]], data: st.DataObject) -> None:
    users = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=10))
    assert lists_of(Ragged.from_lists(lists).take(np.array(users, int))) == [lists[user] for user in users]


def test_mapped_lists_are_mapped_again_in_another_process(tmp_path: Path) -> None:
    for name, array in (("values", np.arange(1000, dtype=np.int32)), ("offsets", np.arange(0, 1001, 10))):
        np.save(tmp_path / f"{name}.npy", array)
    mapped = Ragged(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("values", "offsets")))
    sent = pickle.dumps(mapped)
    assert len(sent) < 1000
    there = pickle.loads(sent)
    assert isinstance(there.values, np.memmap)
    assert there.padded(np.array([99, 0])).tolist() == [list(range(990, 1000)), list(range(10))]
    assert there.windows(np.array([3]), np.array([5]), 2).dtype == np.int64
    part = pickle.loads(pickle.dumps(Ragged(mapped.values[:20], mapped.offsets[:3])))
    assert lists_of(part) == [list(range(10)), list(range(10, 20))], "a part of a map is no file"


@given(LISTS)
def test_unique_keeps_first_occurrences_in_order(lists: list[list[int]]) -> None:
    assert lists_of(Ragged.from_lists(lists).unique()) == [list(dict.fromkeys(items)) for items in lists]


def test_padded_pads_on_the_right() -> None:
    padded = Ragged.from_lists([[4, 5], [], [6]]).padded(np.array([2, 0, 1]))
    assert padded.tolist() == [[6, PAD], [4, 5], [PAD, PAD]]


def test_a_list_that_is_not_there() -> None:
    ragged = Ragged.from_lists([[1], [2, 3]])
    assert ragged[-1].tolist() == [2, 3]
    with pytest.raises(IndexError):
        ragged[2]

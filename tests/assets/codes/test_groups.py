from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genrec.assets.codes.groups import equal_groups, number_equals, row_ids

ROWS = st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 2**40), st.integers(0, 2)), min_size=1, max_size=40)


@given(ROWS)
def test_equal_rows_have_one_number_and_smaller_rows_a_smaller(rows: list[tuple[int, int, int]]) -> None:
    places = {row: place for place, row in enumerate(sorted(set(rows)))}
    assert row_ids(np.array(rows)).tolist() == [places[row] for row in rows]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_equal_rows_are_numbered_in_their_order(rows: list[tuple[int, int]]) -> None:
    expected = [rows[:place].count(row) for place, row in enumerate(rows)]
    assert number_equals(np.array(rows)).tolist() == expected


def test_rows_without_columns_are_equal() -> None:
    assert row_ids(np.empty((3, 0), np.int64)).tolist() == [0, 0, 0]


@given(ROWS)
def test_groups_hold_the_rows_that_share_a_number(rows: list[tuple[int, int, int]]) -> None:
    ids = row_ids(np.array(rows))
    groups = equal_groups(ids)
    sizes = [part.shape[1] for part in groups]
    assert sizes == sorted(set(sizes))
    found = sorted(group for part in groups for group in part.tolist())
    expected = sorted([row for row, one in enumerate(ids) if one == number] for number in set(ids.tolist()))
    assert found == [rows for rows in expected if len(rows) > 1]

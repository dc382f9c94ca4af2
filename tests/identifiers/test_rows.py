"""Rows of two tables as if they were one."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.identifiers.rows import joined_rows


@given(st.integers(1, 5), st.integers(0, 5), st.data())
def test_joined_rows_are_those_of_one_table(first: int, behind: int, data: st.DataObject) -> None:
    whole = torch.arange(2.0 * (first + behind)).view(-1, 2)
    tables = whole[:first], whole[first:]
    start = data.draw(st.integers(0, len(whole) - 1))
    stop = data.draw(st.integers(start + 1, len(whole)))
    assert torch.equal(joined_rows(*tables, slice(start, stop)), whole[start:stop])
    rows = torch.tensor(data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=6)))
    assert torch.equal(joined_rows(*tables, rows), whole[rows])
    assert torch.equal(joined_rows(*tables, rows[:, None]), whole[rows[:, None]])


def test_no_table_is_copied() -> None:
    first, behind = torch.zeros(4, 2), torch.ones(3, 2)
    assert joined_rows(first, behind, slice(1, 4)).data_ptr() == first[1:].data_ptr()
    assert joined_rows(first, behind, slice(4, 6)).data_ptr() == behind.data_ptr()

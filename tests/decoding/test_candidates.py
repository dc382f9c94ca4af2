"""Candidate sets as runs and lists of rows, against the flags that they are given as."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.decoding.candidates import Rows, candidates

CPU = torch.device("cpu")


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.data())
def test_rows_are_those_of_the_flags(flags: list[bool], data: st.DataObject) -> None:
    rows, table = Rows.of(np.array(flags), CPU), torch.arange(len(flags))
    expected = [row for row, flag in enumerate(flags) if flag]
    assert table[rows.index()].tolist() == expected
    assert len(rows) == len(expected)
    start = data.draw(st.integers(0, len(flags) - 1))
    stop = data.draw(st.integers(start + 1, len(flags)))
    there, part = [row for row in expected if start <= row < stop], rows.between(start, stop)
    assert part is not None or not there
    if part is not None:
        assert table[start:stop][part].tolist() == there
        assert there


@pytest.mark.parametrize(
    ("flags", "listed"), [([True] * 5, False), ([False, True, True, False], False), ([True, False, True], True)]
)
def test_a_run_of_rows_is_no_list(flags: list[bool], listed: bool) -> None:
    (rows,) = candidates(torch.tensor([flags])).rows
    assert (rows.listed is not None) is listed


def test_candidates_are_looked_up_once() -> None:
    allowed = torch.ones(2, 30, dtype=torch.bool)
    assert candidates(allowed) is candidates(allowed)
    before = candidates(allowed)
    allowed[0, 3] = False
    assert candidates(allowed) is not before
    assert len(candidates(allowed).rows[0]) == candidates(allowed).fewest == 29

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.types import PAD
from genrec_baselines.numbering import append, code_tokens, digits, width_for


@pytest.mark.parametrize(
    ("number", "base", "width", "expected"),
    [(0, 10, 1, [0]), (7, 10, 3, [0, 0, 7]), (299, 256, 1, [1, 43]), (255, 256, 1, [255]), (1000, 10, 2, [1, 0, 0, 0])],
)
def test_digits(number: int, base: int, width: int, expected: list[int]) -> None:
    assert digits(np.array([number]), base, width).tolist() == [expected]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 4)), min_size=1), st.integers(2, 300))
def test_digits_give_the_numbers_back(pairs: list[tuple[int, int]], base: int) -> None:
    numbers, widths = np.array(pairs).T
    for (number, width), row in zip(pairs, digits(numbers, base, widths).tolist(), strict=True):
        found = [digit for digit in row if digit != PAD]
        assert row == found + [PAD] * (len(row) - len(found))
        assert sum(digit * base**place for place, digit in enumerate(reversed(found))) == number
        assert len(found) == width or (len(found) > width and found[0])
        assert all(0 <= digit < base for digit in found)


def test_the_width_is_that_of_the_last_number() -> None:
    assert width_for(np.array([0, 1, 10, 11, 100, 101]), 10).tolist() == [1, 1, 1, 2, 2, 3]


def test_ragged_rows_are_put_together() -> None:
    rows, more = np.array([[1, 2], [3, PAD], [4, 5]]), np.array([[6, PAD], [7, 8], [9, PAD]])
    assert append(rows, more).tolist() == [[1, 2, 6], [3, 7, 8], [4, 5, 9]]


def test_there_are_letters_for_any_number_of_levels() -> None:
    names = [token.name for token in code_tokens([1] * 60)]
    assert names[0] == "<a_0>"
    assert names[25:28] == ["<z_0>", "<a1_0>", "<b1_0>"]
    assert len(set(names)) == 60

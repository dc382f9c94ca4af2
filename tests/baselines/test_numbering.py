from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec_baselines.numbering import digits, width_for


@pytest.mark.parametrize(
    ("number", "base", "width", "expected"),
    [(0, 10, 1, [0]), (7, 10, 3, [0, 0, 7]), (299, 256, 1, [1, 43]), (255, 256, 1, [255]), (1000, 10, 2, [1, 0, 0, 0])],
)
def test_digits(number: int, base: int, width: int, expected: list[int]) -> None:
    assert digits(number, base, width) == expected


@given(st.integers(0, 10**6), st.integers(2, 300), st.integers(1, 4))
def test_digits_give_the_number_back(number: int, base: int, width: int) -> None:
    found = digits(number, base, width)
    assert sum(digit * base**place for place, digit in enumerate(reversed(found))) == number
    assert len(found) >= width
    assert all(0 <= digit < base for digit in found)


@pytest.mark.parametrize(("count", "width"), [(1, 1), (10, 1), (11, 2), (100, 2), (101, 3)])
def test_the_width_is_that_of_the_last_number(count: int, width: int) -> None:
    assert width_for(count, 10) == width
    assert {len(digits(number, 10, width)) for number in range(count)} == {width}

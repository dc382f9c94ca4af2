from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.analysis.inspection.neighbours import ByCosine, ByPrefix, nearest, overlap
from genrec.types import PAD


def common(first: list[int], second: list[int]) -> int:
    length = 0
    while length < len(first) and first[length] == second[length] != PAD:
        length += 1
    return length


@given(st.integers(2, 300), st.integers(1, 4), st.integers(0, 2**16))
def test_the_nearest_share_the_longest_prefixes(count: int, length: int, seed: int) -> None:
    torch.manual_seed(seed)
    codes = torch.randint(PAD, 2, (count, length))
    rows, k = torch.randperm(count)[:10], min(3, count - 1)
    items, alike = nearest(ByPrefix(codes), rows, k, seed)
    table = codes.tolist()
    for row, found, shared in zip(rows.tolist(), items.tolist(), alike.tolist(), strict=True):
        expected = sorted((common(table[row], table[other]) for other in range(count) if other != row), reverse=True)
        assert shared == expected[:k] == [common(table[row], table[other]) for other in found]
        assert len({row, *found}) == k + 1


def test_by_cosine() -> None:
    table = torch.tensor([[1.0, 0], [9, 1], [1, 1], [0, 1], [-5, -1]])
    items, alike = nearest(ByCosine(table), torch.tensor([0, 3]), 3, seed=0)
    assert items.tolist() == [[1, 2, 3], [2, 1, 0]]
    assert alike[0].tolist() == pytest.approx([9 / 82**0.5, 0.5**0.5, 0])


def test_equals_are_drawn_at_random() -> None:
    codes = torch.zeros(40, 1, dtype=torch.long)
    drawn = [nearest(ByPrefix(codes), torch.tensor([7]), 3, seed)[0].tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_overlap() -> None:
    first, second = torch.tensor([[1, 2], [3, 4]]), torch.tensor([[2, 9], [8, 7]])
    assert overlap(first, second) == 1 / 4
    assert overlap(first, first.flip(1)) == 1

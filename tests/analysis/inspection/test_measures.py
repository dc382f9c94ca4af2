from __future__ import annotations

from math import log2

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.analysis.inspection.measures import effective_rank, sequence_numbers, vector_numbers
from genrec.errors import GenrecError
from genrec.types import PAD


def test_token_sequences() -> None:
    codes = torch.tensor([[5, 7, PAD], [5, 8, 9], [6, 7, PAD], [2, PAD, PAD], [5, 8, 7]])
    found = sequence_numbers(codes, words=5, new_tokens=10)
    assert found["lengths"] == {1: 1, 2: 2, 3: 2}
    assert found["new_tokens"] == {"in_use": 5, "all": 10}
    assert found["words"] == {"in_use": 1, "all": 5}
    assert found["distinct"] == 5
    first, second, third = found["levels"]
    assert (first["items"], first["tokens"], first["prefixes"], first["largest"]) == (5, 3, 3, 3)
    assert first["entropy"] == pytest.approx(-(3 / 5 * log2(3 / 5) + 2 * 1 / 5 * log2(1 / 5)))
    assert (second["items"], second["tokens"], second["prefixes"], second["largest"]) == (4, 2, 4, 2)
    assert second["entropy"] == pytest.approx(1)
    assert (third["items"], third["tokens"], third["prefixes"], third["largest"]) == (2, 2, 5, 1)
    assert [level["alone"] for level in found["levels"]] == pytest.approx([2 / 5, 3 / 5, 1])


@given(st.integers(1, 5), st.integers(0, 2**16))
def test_directions_of_equal_strength_count_fully_and_weak_ones_less(count: int, seed: int) -> None:
    torch.manual_seed(seed)
    # Every direction there and back, so that the mean is zero.
    directions = torch.linalg.qr(torch.randn(6, count)).Q.T
    table = torch.cat([directions, -directions])
    assert effective_rank(table) == pytest.approx(count, rel=1e-4)
    assert effective_rank(7 * table + torch.randn(6)) == pytest.approx(count, rel=1e-4), "scale and place do not matter"


def test_the_effective_rank_is_the_entropy_of_the_singular_values() -> None:
    # Singular values 3 and 1, times the root of 2.
    table = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]])
    assert effective_rank(table) == pytest.approx(2 ** -(3 / 4 * log2(3 / 4) + 1 / 4 * log2(1 / 4)))
    assert effective_rank(torch.ones(4, 3)) == 0


def test_vectors() -> None:
    table = torch.tensor([[1.0, 0], [5, 0], [0, 2], [-1, 0]])
    found = vector_numbers(table, torch.arange(4))
    assert found["width"] == 2
    assert found["duplicates"] == 2 / 4
    # Of the six pairs one points the same way, two opposite ways, the others are at right angles.
    assert found["cosine"] == pytest.approx((1 - 2) / 6)
    assert vector_numbers(table, torch.tensor([1, 2]))["duplicates"] == 1 / 2, "the twin is looked for among all items"


def test_vectors_of_a_training_that_diverged_are_refused() -> None:
    with pytest.raises(GenrecError, match="not finite numbers: its training has diverged"):
        effective_rank(torch.tensor([[1.0, float("nan")], [0.0, 1.0]]))

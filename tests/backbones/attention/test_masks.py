"""The fast positions against slow, obvious ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.backbones.attention import masks
from genrec.types import ORDERED, Tokens

from ..runs import sequence, sequences, slow_positions


@given(sequences())
def test_positions_equal_a_walk_over_the_tokens(tokens: Tokens) -> None:
    fast = masks.positions(tokens)[0].tolist()
    slow = slow_positions(tokens.mask[0].tolist(), tokens.sets[0].tolist())
    assert {index: fast[index] for index in slow} == slow


def test_positions_of_the_docstring() -> None:
    tokens = sequence([(ORDERED, [True]), (0, [True] * 2), (1, [True] * 2), (ORDERED, [True])])
    assert masks.positions(tokens)[0].tolist() == [0, 1, 1, 2, 2, 3]


def test_padding_takes_a_raw_position_but_no_compact_one() -> None:
    tokens = sequence([(ORDERED, [True]), (0, [False] * 2), (1, [True] * 2), (ORDERED, [True])])
    assert masks.positions(tokens)[0, [0, 3, 4, 5]].tolist() == [0, 1, 1, 2]
    assert masks.raw_positions(tokens)[0].tolist() == [0, 1, 1, 2, 2, 5]


@pytest.mark.parametrize("exact", [True, False])
@given(st.data(), st.integers(1, 12))
def test_a_tree_token_sees_its_ancestors(exact: bool, data: st.DataObject, count: int) -> None:
    parents = [data.draw(st.integers(-1, index - 1)) for index in range(count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genrec.devices.exact_sizes", lambda device: exact)
        seen = masks.ancestors(torch.tensor([parents]))[0]
    for index in range(count):
        line = [index]
        while parents[line[-1]] >= 0:
            line.append(parents[line[-1]])
        assert seen[index].nonzero().flatten().tolist() == sorted(line)

"""The fast masks against slow, obvious ones."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.backbones import masks
from genrec.types import ORDERED, Tokens


def sequence(groups: list[tuple[int, list[bool]]]) -> Tokens:
    """A sequence of one user from runs of tokens: (set number or ORDERED, which are real)."""
    sets = [number for number, real in groups for _ in real]
    mask = [flag for _, real in groups for flag in real]
    return Tokens(torch.zeros(1, len(sets), 2), torch.tensor([mask]), torch.tensor([sets]))


@st.composite
def sequences(draw: st.DrawFn) -> Tokens:
    kinds = draw(st.lists(st.booleans(), min_size=1, max_size=6))
    runs = [draw(st.lists(st.booleans(), min_size=1, max_size=4)) for _ in kinds]
    return sequence(
        [(number if is_set else ORDERED, run) for number, (is_set, run) in enumerate(zip(kinds, runs, strict=True))]
    )


def slow_positions(mask: list[bool], sets: list[int]) -> dict[int, int]:
    """Walk the tokens: an ordered one takes the next position, a set's first real member too, its others share it."""
    found: dict[int, int] = {}
    of_set: dict[int, int] = {}
    free = 0
    for index, (real, number) in enumerate(zip(mask, sets, strict=True)):
        if not real:
            continue
        if number in of_set:
            found[index] = of_set[number]
            continue
        found[index] = free
        if number != ORDERED:
            of_set[number] = free
        free += 1
    return found


@given(sequences())
def test_positions_equal_a_walk_over_the_tokens(tokens: Tokens) -> None:
    fast = masks.positions(tokens)[0].tolist()
    slow = slow_positions(tokens.mask[0].tolist(), tokens.sets[0].tolist())
    assert {index: fast[index] for index in slow} == slow


@given(sequences(), st.booleans())
def test_visibility_equals_the_definition(tokens: Tokens, sparse: bool) -> None:
    mask, sets = tokens.mask[0].tolist(), tokens.sets[0].tolist()
    both, before = masks.visible(tokens, sparse)[0], masks.visible_before(tokens, sparse)[0]
    place = slow_positions(mask, sets)
    for i in range(len(mask)):
        for j in range(len(mask)):
            sisters = i != j and sets[i] == sets[j] != ORDERED
            expected = mask[j] and not (sparse and sisters)
            assert both[i, j] == expected
            if mask[i]:
                assert before[i, j] == (expected and place[j] <= place[i])


@given(sequences())
def test_every_decoder_row_sees_something(tokens: Tokens) -> None:
    assert masks.visible_before(tokens).any(2).all()


def test_positions_of_the_docstring() -> None:
    tokens = sequence([(ORDERED, [True]), (0, [True] * 2), (1, [True] * 2), (ORDERED, [True])])
    assert masks.positions(tokens)[0].tolist() == [0, 1, 1, 2, 2, 3]


def test_padding_takes_a_raw_position_but_no_compact_one() -> None:
    tokens = sequence([(ORDERED, [True]), (0, [False] * 2), (1, [True] * 2), (ORDERED, [True])])
    assert masks.positions(tokens)[0, [0, 3, 4, 5]].tolist() == [0, 1, 1, 2]
    assert masks.raw_positions(tokens)[0].tolist() == [0, 1, 1, 2, 2, 5]


@given(st.data(), st.integers(1, 12))
def test_a_tree_token_sees_its_ancestors(data: st.DataObject, count: int) -> None:
    parents = [data.draw(st.integers(-1, index - 1)) for index in range(count)]
    seen, depth = masks.ancestors(torch.tensor([parents]))[0], masks.depths(torch.tensor([parents]))[0]
    for index in range(count):
        line = [index]
        while parents[line[-1]] >= 0:
            line.append(parents[line[-1]])
        assert seen[index].nonzero().flatten().tolist() == sorted(line)
        assert depth[index] == len(line) - 1

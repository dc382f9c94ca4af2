"""Sequences of runs of tokens, and positions found by walking over them."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from genrec.types import ORDERED, SEEING, Tokens


def sequence(groups: list[tuple[int, list[bool]]]) -> Tokens:
    """A sequence of one user from runs of tokens: (set number or ORDERED, which are real)."""
    sets = [number for number, real in groups for _ in real]
    mask = [flag for _, real in groups for flag in real]
    return Tokens(torch.zeros(1, len(sets), 2), torch.tensor([mask]), torch.tensor([sets]))


@st.composite
def sequences(draw: st.DrawFn) -> Tokens:
    numbers = [(ORDERED, place, SEEING - place) for place in range(draw(st.integers(1, 6)))]
    runs = [draw(st.lists(st.booleans(), min_size=1, max_size=4)) for _ in numbers]
    return sequence([(draw(st.sampled_from(of)), run) for of, run in zip(numbers, runs, strict=True)])


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

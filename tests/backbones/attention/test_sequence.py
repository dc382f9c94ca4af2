"""Branches lie behind their trunks, each where it is looked for; sets of a prompt and of what follows stay apart."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.backbones.attention.sequence import follow, side_by_side
from genrec.types import ORDERED, Packed, Tokens

WIDTH = 3


def tokens(rows: int, count: int, sets: torch.Tensor | None = None) -> Tokens:
    mask = torch.ones(rows, count, dtype=torch.bool)
    return Tokens(torch.randn(rows, count, WIDTH), mask, torch.full((rows, count), ORDERED) if sets is None else sets)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(any), st.integers(1, 4), st.integers(1, 8))
def test_every_branch_lies_in_its_slot(branches: list[int], count: int, multiple: int) -> None:
    users = torch.arange(len(branches)).repeat_interleave(torch.tensor(branches))
    slots, rows = max(branches), len(users)
    trunk, branch = tokens(len(branches), 5), tokens(rows, count)
    cuts = torch.arange(rows) % 6
    laid = side_by_side(Packed(trunk, tokens(1, 1), users, cuts, slots), branch, multiple)
    length = laid.places.shape[1]
    assert length % multiple == 0
    assert length - 5 - slots * count < multiple
    written = laid.embeds[:, length - slots * count :].unflatten(1, (slots, count))
    torch.testing.assert_close(written[laid.at], branch.embeds)
    assert laid.sight.real[:, -slots * count :].sum() == rows * count, "a slot without a branch is padding"
    places = laid.places[:, length - slots * count :].unflatten(1, (slots, count))[laid.at]
    assert places.tolist() == [[int(cut) + column for column in range(count)] for cut in cuts]


def test_sets_of_both_parts_are_apart() -> None:
    sets = torch.tensor([[ORDERED, 0, 0, 1, ORDERED - 1]])
    found = follow(tokens(2, 5, sets.expand(2, -1)), tokens(1, 5, sets)).sets
    context, query = found[:, :5], found[:, 5:]
    assert found.shape == (2, 10)
    assert (context[:, 0] == ORDERED).all()
    assert (query[:, 0] == ORDERED).all()
    assert not set(context[:, 1:].flatten().tolist()) & set(query[:, 1:].flatten().tolist())
    assert (context[:, 1] == context[:, 2]).all()
    assert (context[:, 4] < ORDERED).all(), "members that see each other still do"

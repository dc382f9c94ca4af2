"""Partial assignments of unordered codes, against looking at every item."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genrec import devices
from genrec.decoding.any_order import AnyOrder
from genrec.testing import Syncs
from genrec.types import PAD


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, int, Tensor, Tensor | None]:
    """Codes of items, some of which share all; partial assignments, of items and of none; which items count."""
    slots, size, count = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 20))
    row = st.lists(st.integers(0, size - 1), min_size=slots, max_size=slots)
    codes = draw(st.lists(row, min_size=count, max_size=count))
    shown = st.lists(st.booleans(), min_size=slots, max_size=slots)
    partial = draw(st.lists(st.tuples(st.one_of(st.sampled_from(codes), row), shown), min_size=1, max_size=8))
    allowed = draw(st.none() | st.lists(st.booleans(), min_size=count, max_size=count))
    filled = [[code if flag else PAD for code, flag in zip(*each, strict=True)] for each in partial]
    return torch.tensor(codes), size, torch.tensor(filled), None if allowed is None else torch.tensor(allowed)


def slow_items(codes: Tensor, partial: list[int], allowed: Tensor | None) -> list[int]:
    return [
        item
        for item, row in enumerate(codes.tolist())
        if (allowed is None or allowed[item])
        and all(asked in (PAD, code) for asked, code in zip(partial, row, strict=True))
    ]


@pytest.mark.parametrize("exact", [True, False])
@given(cases(), st.integers(1, 60))
def test_what_is_legal_is_what_an_item_has(
    exact: bool, case: tuple[Tensor, int, Tensor, Tensor | None], held: int
) -> None:
    codes, size, partial, allowed = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "exact_sizes", lambda device: exact)
        patch.setattr(devices, "held_at_once", lambda device: held)
        index = AnyOrder(codes, size)
        legal, items = index.legal(partial, allowed), index.items(partial, 3, allowed)
    for place, filled in enumerate(partial.tolist()):
        agreeing = slow_items(codes, filled, allowed)
        for slot in range(codes.shape[1]):
            expected = {int(codes[item, slot]) for item in agreeing}
            assert set(legal[place, slot].nonzero().flatten().tolist()) == expected
        if any(code != PAD for code in filled):
            assert items[place].tolist() == (agreeing + [PAD] * 3)[:3]


def test_filling_legal_codes_in_any_order_ends_at_an_item() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(6, (50, 4), generator=generator)
    index = AnyOrder(codes, 6)
    partial = torch.full((200, 4), PAD)
    for _ in range(4):
        legal = index.legal(partial) & (partial == PAD)[..., None]
        chosen = torch.multinomial(legal.flatten(1).float(), 1, generator=generator)[:, 0]
        partial[torch.arange(200), chosen // 6] = chosen % 6
    found = index.items(partial, 1)[:, 0]
    assert torch.equal(codes[found], partial)
    assert len(found.unique()) > 30


def test_the_example_of_the_docstring() -> None:
    index = AnyOrder(torch.tensor([[0, 1], [0, 0], [1, 1], [2, 1]]), 3)
    legal = index.legal(torch.tensor([[PAD, PAD], [0, PAD], [PAD, 1], [0, 1]]))
    lists = [[row.nonzero().flatten().tolist() for row in partial] for partial in legal]
    assert lists == [[[0, 1, 2], [0, 1]], [[0], [0, 1]], [[0, 1, 2], [1]], [[0], [1]]]


def test_nothing_is_looked_at_where_looking_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    index = AnyOrder(torch.randint(4, (30, 3)), 4)
    partial = torch.tensor([[1, PAD, PAD], [PAD, PAD, PAD], [0, 2, 3]])
    allowed = torch.arange(30) % 2 > 0
    expected = index.legal(partial, allowed)
    monkeypatch.setattr(devices, "exact_sizes", lambda device: False)
    with Syncs() as syncs:
        found = index.legal(partial, allowed)
        index.items(partial, 2, allowed)
    assert not syncs.counts
    assert torch.equal(found, expected)

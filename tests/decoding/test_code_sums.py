"""Scores that are sums over slots, against adding them up item by item."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genrec import devices
from genrec.decoding import grounding
from genrec.decoding.code_sums import CodeIndex, item_scores, narrow, top_codes
from genrec.decoding.grounding import top_k, top_k_in_parts
from genrec.errors import GenrecError
from genrec.testing import Syncs
from genrec.types import Ranking


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Numbers [B, m, size], of few values so that many items tie, and codes [N, m]."""
    users, slots, size, items = (draw(st.integers(1, most)) for most in (3, 4, 6, 30))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    numbers = torch.randint(-3, 3, (users, slots, size), generator=generator).float()
    return numbers, torch.randint(size, (items, slots), generator=generator)


def slow_scores(numbers: Tensor, codes: Tensor) -> list[list[float]]:
    return [
        [sum(user[slot][code] for slot, code in enumerate(item)) for item in codes.tolist()]
        for user in numbers.tolist()
    ]


@given(cases(), st.sampled_from([torch.uint8, torch.int16, torch.int32, torch.int64]))
def test_scores_are_sums_over_slots(case: tuple[Tensor, Tensor], kind: torch.dtype) -> None:
    numbers, codes = case
    assert item_scores(numbers, codes.to(kind)).tolist() == slow_scores(numbers, codes)


def slow_ranking(numbers: Tensor, codes: Tensor, allowed: list[bool], k: int) -> Tensor:
    rows = [item for item, flag in enumerate(allowed) if flag]
    return torch.tensor([sorted(rows, key=lambda item: (-row[item], item))[:k] for row in slow_scores(numbers, codes)])


@pytest.mark.parametrize("exact", [True, False])
@given(cases(), st.data(), st.integers(1, 40))
def test_the_best_items_a_part_of_the_catalogue_at_a_time(
    exact: bool, case: tuple[Tensor, Tensor], data: st.DataObject, held: int
) -> None:
    """Whatever the parts are: those of few allowed items, and of none, among them."""
    numbers, codes = case
    flags = st.lists(st.booleans(), min_size=len(codes), max_size=len(codes)).filter(any)
    allowed = [data.draw(flags), [True] * len(codes)]
    k = data.draw(st.integers(1, sum(allowed[0])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "exact_sizes", lambda device: exact)
        patch.setattr(devices, "held_at_once", lambda device: held)
        patch.setattr(grounding, "ROUND", 1)
        found = top_codes(numbers, narrow(codes, numbers.shape[2]), torch.tensor(allowed), k)
    for place, candidates in enumerate(allowed):
        assert torch.equal(found.items[place], slow_ranking(numbers, codes, candidates, k))
    scores = torch.tensor(slow_scores(numbers, codes))
    assert torch.equal(found.scores, torch.stack([scores.gather(1, items) for items in found.items]))


@given(cases(), st.integers(1, 40))
def test_parts_of_scores_are_ranked_as_all_of_them(case: tuple[Tensor, Tensor], size: int) -> None:
    numbers, codes = case
    scores, allowed = item_scores(numbers, codes), torch.ones(1, len(codes), dtype=torch.bool)
    found = top_k_in_parts(lambda start, stop: scores[:, start:stop], size, allowed, len(codes))
    expected: Ranking = top_k(scores, allowed, len(codes))
    assert torch.equal(found.items, expected.items)
    assert torch.equal(found.scores, expected.scores)


def test_nothing_is_looked_at_where_looking_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = torch.ones(2, 50, dtype=torch.bool)
    allowed[1, ::2] = False
    numbers, codes = torch.randn(3, 4, 8), torch.randint(8, (50, 4))
    monkeypatch.setattr(devices, "held_at_once", lambda device: 56)
    monkeypatch.setattr(grounding, "ROUND", 1)
    expected = top_codes(numbers, codes, allowed, 4)
    monkeypatch.setattr(devices, "exact_sizes", lambda device: False)
    with Syncs() as syncs:
        found = top_codes(numbers, codes, allowed, 4)
    assert not syncs.counts
    assert torch.equal(found.items, expected.items)


def test_codes_take_as_few_bytes_as_hold_them() -> None:
    sizes = {1: 1, 256: 1, 257: 2, 2**15: 2, 2**15 + 1: 4}
    for size, held in sizes.items():
        codes = torch.tensor([[0, size - 1]])
        assert narrow(codes, size).element_size() == held
        assert torch.equal(narrow(codes, size).long(), codes)


def test_an_index_of_codes_grows() -> None:
    generator = torch.Generator().manual_seed(0)
    numbers, codes = torch.randn(3, 4, 8, generator=generator), torch.randint(8, (40, 4), generator=generator)
    index = CodeIndex(codes[:30], [8, 4, 8, 8])
    index.grow(codes)
    assert len(index) == 40
    allowed = torch.arange(40) % 3 > 0
    for mask in (None, allowed):
        items, scores = index.search(numbers, 9, mask)
        expected = top_codes(numbers, codes, (torch.ones(40, dtype=torch.bool) if mask is None else mask)[None], 9)
        assert torch.equal(items, expected.items[0])
        assert torch.equal(scores, expected.scores[0])


def test_too_small_a_candidate_set_is_refused() -> None:
    with pytest.raises(GenrecError, match="best 3 of 2"):
        top_codes(torch.zeros(1, 2, 4), torch.zeros(2, 2, dtype=torch.uint8), torch.ones(1, 2, dtype=torch.bool), 3)

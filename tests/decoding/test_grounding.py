from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from genrec import devices
from genrec.decoding import grounding
from genrec.decoding.candidates import candidates
from genrec.decoding.grounding import (
    first_best,
    inner_products,
    items_at_once,
    top_k,
    top_k_in_parts,
    top_k_of_each,
    top_products,
)
from genrec.errors import GenrecError
from genrec.testing import Syncs

SCORES = st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 2.0])


@given(st.integers(1, 5), st.lists(st.booleans(), min_size=6, max_size=9).filter(any), st.integers(0, 99))
def test_equals_sorting_the_allowed_items(users: int, allowed: list[bool], seed: int) -> None:
    scores = torch.randn(users, len(allowed), generator=torch.Generator().manual_seed(seed))
    candidates = [item for item, flag in enumerate(allowed) if flag]
    ranking = top_k(scores, torch.tensor([allowed, [True] * len(allowed)]), len(candidates))
    for user in range(users):
        best = sorted(candidates, key=lambda item: -scores[user, item].item())
        assert ranking.items[0, user].tolist() == best
        assert ranking.scores[0, user].tolist() == [scores[user, item].item() for item in best]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("block", [2, 32])
@given(st.data())
def test_equal_scores_are_ordered_by_row(block: int, exact: bool, data: st.DataObject) -> None:
    """With the tie inside, at the end and outside of the list; on a device where looking costs, and where not."""
    count = data.draw(st.integers(1, 20))
    k = data.draw(st.integers(1, count))
    rows = data.draw(st.lists(st.lists(SCORES, min_size=count, max_size=count), min_size=1, max_size=3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "exact_sizes", lambda device: exact)
        patch.setattr(grounding, "BLOCK", block)
        found = first_best(torch.tensor(rows), k)
    for row, values, places in zip(rows, found.values.tolist(), found.indices.tolist(), strict=True):
        expected = sorted(range(count), key=lambda place: (-row[place], place))[:k]
        assert places == expected
        assert values == [row[place] for place in expected]


def test_nothing_is_looked_at_where_looking_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = torch.ones(2, 50, dtype=torch.bool)
    allowed[1, ::2] = False
    scores = torch.randn(3, 50).round()
    expected = top_k(scores, allowed, 4)
    monkeypatch.setattr(devices, "exact_sizes", lambda device: False)
    with Syncs() as syncs:
        found = top_k(scores, allowed, 4)
    assert not syncs.counts
    assert torch.equal(found.items, expected.items)
    assert torch.equal(found.scores, expected.scores)


def test_candidates_that_change_are_looked_up_again() -> None:
    allowed = torch.ones(1, 3, dtype=torch.bool)
    scores = torch.tensor([[3.0, 2.0, 1.0]])
    assert top_k(scores, allowed, 1).items.item() == 0
    allowed[0, 0] = False
    assert top_k(scores, allowed, 1).items.item() == 1


@pytest.mark.parametrize("exact", [True, False])
def test_nan_stays_to_be_seen(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "exact_sizes", lambda device: exact)
    scores = torch.tensor([[1.0, 2.0, 3.0, math.nan]])
    assert first_best(scores, 2).values.isnan().any()


def test_scores_are_float32_whatever_the_precision() -> None:
    users, items = torch.randn(4, 64), torch.randn(500, 64)
    expected = users @ items.T
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(inner_products(users, items), expected)
        assert torch.get_float32_matmul_precision() == "medium", "as it was"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert inner_products(users.bfloat16(), items).dtype == torch.float32
    assert inner_products(users.double(), items).dtype == torch.float64


def test_a_cpu_looks_at_its_numbers_and_others_do_not() -> None:
    assert devices.exact_sizes(torch.device("cpu"))
    assert not devices.exact_sizes(torch.device("cuda"))


@pytest.mark.parametrize(("allowed", "said"), [([True, False], "best 2 of 1"), ([False, False], "best 2 of 0")])
def test_too_small_a_candidate_set_is_refused(allowed: list[bool], said: str) -> None:
    with pytest.raises(GenrecError, match=said):
        top_k(torch.zeros(1, 2), torch.tensor([allowed]), 2)


@st.composite
def candidate_sets(draw: st.DrawFn, items: int) -> list[bool]:
    """A run of rows, a list of them, one, or all; never none."""
    first = draw(st.integers(0, items - 1))
    stop = draw(st.integers(first + 1, items))
    kind = draw(st.sampled_from(["run", "list", "one", "all"]))
    if kind == "list":
        listed = draw(st.sets(st.integers(0, items - 1), min_size=1))
        return [item in listed for item in range(items)]
    first, stop = {"run": (first, stop), "one": (first, first + 1), "all": (0, items)}[kind]
    return [first <= item < stop for item in range(items)]


def slow_ranking(scores: Tensor, allowed: list[list[bool]], k: int) -> tuple[list[list[list[int]]], Tensor]:
    """Everything sorted, one user after the other."""
    sets = [[item for item, flag in enumerate(flags) if flag] for flags in allowed]
    users = scores.tolist()
    found = [[sorted(items, key=lambda item: (-user[item], item))[:k] for user in users] for items in sets]
    return found, torch.stack([scores.gather(1, torch.tensor(items)) for items in found])


@pytest.mark.parametrize("exact", [True, False])
@given(st.data())
def test_the_best_in_parts_are_those_of_everything_sorted(exact: bool, data: st.DataObject) -> None:
    """Several kinds of scores, with many ties; parts without an item of a set, and with fewer than k."""
    users, items, kinds = (data.draw(st.integers(1, most)) for most in (4, 60, 3))
    size, block = data.draw(st.integers(1, 70)), data.draw(st.sampled_from([2, 32]))
    allowed = data.draw(st.lists(candidate_sets(items), min_size=1, max_size=3))
    k = data.draw(st.integers(1, min(map(sum, allowed))))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    scores = torch.randint(-4, 4, (kinds, users, items), generator=generator).float()
    scores[scores == -4] = -math.inf
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "exact_sizes", lambda device: exact)
        patch.setattr(grounding, "BLOCK", block)
        found = top_k_of_each(lambda start, stop: scores[..., start:stop], size, torch.tensor(allowed), k)
    for ranking, of_kind in zip(found, scores, strict=True):
        rows, values = slow_ranking(of_kind, allowed, k)
        assert ranking.items.tolist() == rows
        assert torch.equal(ranking.scores, values)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
@pytest.mark.parametrize(
    ("users", "items", "width", "held"), [(3, 1000, 16, 2**10), (1, 777, 5, 2**9), (70, 300, 8, 1)]
)
def test_products_in_parts_are_those_of_the_whole_table(
    kind: torch.dtype, users: int, items: int, width: int, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last digit, of tables of any number of bits."""
    generator = torch.Generator().manual_seed(0)
    asked = torch.randn(users, width, generator=generator)
    table = torch.randn(items, width, generator=generator).to(kind)
    allowed = torch.ones(2, items, dtype=torch.bool)
    allowed[1, ::3] = False
    expected = top_k(inner_products(asked, table), allowed, 9)
    monkeypatch.setattr(devices, "held_at_once", lambda device: held)
    assert items_at_once(asked, items) < items
    found = top_products(asked, table, allowed, 9)
    assert torch.equal(found.items, expected.items)
    assert torch.equal(found.scores, expected.scores)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("place", [0, 30, 99])
def test_nan_of_any_part_stays_to_be_seen(exact: bool, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "exact_sizes", lambda device: exact)
    scores = torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    scores[1, place] = math.nan
    everything = torch.ones(1, 100, dtype=torch.bool)
    found = top_k_in_parts(lambda start, stop: scores[:, start:stop], 16, everything, 3)
    assert found.scores.isnan().any(-1).tolist() == [[False, True]]


@given(st.integers(1, 300), st.integers(1, 3000), st.integers(0, 200_000), st.integers(1, 2**24))
def test_parts_are_no_larger_than_what_is_held(users: int, width: int, items: int, held: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "held_at_once", lambda device: held)
        size = items_at_once(torch.empty(users, width, device="meta"), items)
    assert size % 64 == 0
    assert size == 64 or size * max(users, width) <= held


class Largest(TorchDispatchMode):
    """The numbers of the largest tensor that is made meanwhile; parts of known ones are not made."""

    def __init__(self, *known: Tensor) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, tuple | list) else [made]:
            if isinstance(each, Tensor) and each.untyped_storage().data_ptr() not in self.known:
                self.numbers = max(self.numbers, each.untyped_storage().nbytes() // each.element_size())
        return made


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("kinds", [1, 5])
def test_what_is_held_does_not_grow_with_items_or_kinds(
    exact: bool, kinds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "exact_sizes", lambda device: exact)
    monkeypatch.setattr(devices, "held_at_once", lambda device: 2**10)
    users, width = 16, 8
    for items in (500, 5_000):
        asked, table = torch.randn(users, width), torch.randn(items, width)
        allowed = torch.ones(3, items, dtype=torch.bool)
        allowed[1, ::2] = allowed[2, 10:] = False
        listed = [rows.listed for rows in candidates(allowed).rows if rows.listed is not None]

        def scores(start: int, stop: int, asked: Tensor = asked, table: Tensor = table) -> Iterator[Tensor]:
            once = inner_products(asked, table[start:stop])
            return (once * weight for weight in range(kinds))

        with Largest(asked, table, *listed) as largest:
            top_k_of_each(scores, items_at_once(asked, items), allowed, 5)
        assert largest.numbers <= 2**10

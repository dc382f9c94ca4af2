from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec import devices
from genrec.decoding.grounding import first_best, inner_products, top_k
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
@given(st.data())
def test_equal_scores_are_ordered_by_row(exact: bool, data: st.DataObject) -> None:
    """With the tie inside, at the end and outside of the list; on a device where looking costs, and where not."""
    count = data.draw(st.integers(1, 9))
    k = data.draw(st.integers(1, count))
    rows = data.draw(st.lists(st.lists(SCORES, min_size=count, max_size=count), min_size=1, max_size=3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "exact_sizes", lambda device: exact)
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

"""Codes that are written in the order of confidence, against trying all orders one by one."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genrec.decoding.any_order import AnyOrder
from genrec.decoding.unmasking import ranked, unmask
from genrec.types import PAD

SLOTS, SIZE, USERS = 3, 4, 2
MANY = 500


class Model:
    """Log-probabilities that depend on the user and on all that is filled, and on nothing else."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.table = torch.randn(USERS, (SIZE + 1) ** SLOTS, SLOTS, SIZE, generator=generator).log_softmax(3)
        self.looks = 0

    def __call__(self, partial: Tensor) -> Tensor:
        self.looks += 1
        rows = ((partial + 1) * (SIZE + 1) ** torch.arange(SLOTS)).sum(2)
        return self.table[torch.arange(USERS)[:, None], rows]


def slowly(model: Model, user: int, codes: list[int], steps: int) -> float:
    """The best order's sum: a few slots are filled after each look, what they are is decided by nothing but the sum."""
    counts = [(step + 1) * SLOTS // steps - step * SLOTS // steps for step in range(steps)]
    best = -float("inf")
    for order in permutations(range(SLOTS)):
        partial, total, at = [PAD] * SLOTS, 0.0, 0
        for count in counts:
            told = model(torch.tensor([[partial]] * USERS))[user, 0]
            for slot in order[at : at + count]:
                total += float(told[slot, codes[slot]])
                partial[slot] = codes[slot]
            at += count
        best = max(best, total)
    return best


@given(st.integers(0, 10_000), st.integers(1, SLOTS), st.integers(2, 30), st.booleans())
def test_all_orders_are_tried(seed: int, steps: int, items: int, some: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(SIZE, (items, SLOTS), generator=generator)
    allowed = torch.arange(items) % 2 == 0 if some else None
    model, order = Model(seed), AnyOrder(codes, SIZE)
    assignments, scores = unmask(model, order, USERS, MANY, steps, allowed)

    assert model.looks == steps
    rows = list(range(items)) if allowed is None else allowed.nonzero()[:, 0].tolist()
    ranking = ranked(assignments, scores, order, items, len(rows), allowed)
    for user in range(USERS):
        found = assignments[user][scores[user] > -torch.inf].tolist()
        assert sorted(found) == sorted(codes[rows].unique(dim=0).tolist())
        expected = {row: slowly(model, user, codes[row].tolist(), steps) for row in rows}
        # By score, then by row; equal codes have equal scores to the last bit. Where a look fills some of the slots,
        # an assignment stands once, where it is likeliest so far: its best order may come from another look.
        assert sorted(ranking.items[user].tolist()) == rows
        told = torch.tensor([expected[row] for row in ranking.items[user].tolist()])
        assert (ranking.scores[user] <= told + 1e-5).all()
        if steps in (1, SLOTS):
            torch.testing.assert_close(ranking.scores[user], told)
        pairs = list(zip((-ranking.scores[user]).tolist(), ranking.items[user].tolist(), strict=True))
        assert pairs == sorted(pairs)


@pytest.mark.parametrize("beams", [1, 3])
def test_few_beams_find_items_that_exist_and_what_they_are_worth(beams: int) -> None:
    codes = torch.randint(SIZE, (20, SLOTS), generator=torch.Generator().manual_seed(1))
    model, order = Model(0), AnyOrder(codes, SIZE)
    assignments, scores = unmask(model, order, USERS, beams, SLOTS)

    assert assignments.shape == (USERS, beams, SLOTS)
    for user in range(USERS):
        for assignment, score in zip(assignments[user].tolist(), scores[user].tolist(), strict=True):
            assert assignment in codes.tolist()
            assert score <= slowly(model, user, assignment, SLOTS) + 1e-5
    ranking = ranked(assignments, scores, order, 20, 20)
    assert (ranking.items[scores.shape[1] * 20 :] == PAD).all()
    assert ((ranking.items == PAD) == (ranking.scores == -torch.inf)).all()


def test_assignments_of_many_slots_are_told_apart() -> None:
    # 257 ** 32 is no number of 64 bits.
    codes = torch.randint(256, (50, 32), generator=torch.Generator().manual_seed(0))
    codes[1] = codes[0]
    codes[1, 31] = (codes[0, 31] + 1) % 256
    told = torch.randn(1, 1, 32, 256, generator=torch.Generator().manual_seed(1)).log_softmax(3)
    order = AnyOrder(codes, 256)
    assignments, scores = unmask(lambda partial: told.expand(1, partial.shape[1], -1, -1), order, 1, 64, 1)

    found = assignments[0][scores[0] > -torch.inf]
    assert len(found.unique(dim=0)) == len(found)
    sums = told[0, 0, torch.arange(32), found].sum(1)
    torch.testing.assert_close(scores[0][: len(found)], sums)

"""Dropout with cheap random numbers is dropout."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genrec.backbones.dropout import Dropout, dropout, take_place


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5])
def test_shares_and_means(p: float) -> None:
    torch.manual_seed(0)
    ones = torch.ones(1001, 999)
    dropped = dropout(ones, p)
    share = float((dropped == 0).double().mean())
    # Five standard deviations of a mean of independent draws, and what p is rounded by.
    assert share == pytest.approx(p, abs=5 * (p * (1 - p) / ones.numel()) ** 0.5 + 2**-17)
    kept = dropped[dropped != 0].unique()
    assert kept.tolist() == pytest.approx([1 / (1 - p)], rel=1e-4), "one scale for all that is kept"


def test_neighbours_are_independent() -> None:
    torch.manual_seed(0)
    kept = (dropout(torch.ones(2**20), 0.5) != 0).double() - 0.5
    for distance in (1, 2, 3, 4, 8):
        together = float((kept[distance:] * kept[:-distance]).mean()) / 0.25
        assert abs(together) < 5 / 2**10, f"lanes {distance} apart"


def test_gradients_go_through_what_is_kept() -> None:
    numbers = torch.randn(5, 7, 3, dtype=torch.float64, requires_grad=True)
    dropped = dropout(numbers, 0.3)
    (gradient,) = torch.autograd.grad(dropped.sum(), numbers)
    torch.testing.assert_close(gradient * numbers, dropped)
    assert 0 < int((gradient == 0).sum()) < numbers.numel()


def test_the_seed_decides() -> None:
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(dropout(torch.ones(100), 0.5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_it_takes_the_place_of_torchs_in_every_mode() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Dropout(0.5)), nn.Dropout(0.0))
    model.eval()
    take_place(model)
    assert [type(part) for part in (model[1][0], model[2])] == [Dropout, Dropout]
    numbers = torch.randn(3, 4)
    assert torch.equal(model(numbers), model[0](numbers)), "nothing is dropped while evaluating"
    model.train()
    assert (model(torch.ones(100, 4)) == 0).any()
    assert torch.equal(model[2](numbers), numbers), "nor where p is 0"

"""A softmax over drawn classes estimates the one over all of them, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec import devices
from genrec.errors import GenrecError
from genrec.losses import Drawn, Negatives, sampled_cross_entropy, sampled_totals

CLASSES = 6


def example() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    states = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    table = torch.randn(CLASSES, 4, dtype=torch.float64, requires_grad=True)
    return states, table, torch.tensor([2, 0, 2])


def chosen_of(states: Tensor, table: Tensor, target: Tensor) -> Tensor:
    return (states * table[target]).sum(1)


@pytest.mark.parametrize("shares", [[1 / 6] * 6, [0.5, 0.1, 0.1, 0.1, 0.15, 0.05]], ids=["uniform", "other"])
def test_the_estimated_sum_has_no_bias(shares: list[float]) -> None:
    """Over everything that can be drawn, the mean of the estimate is the sum itself; also where the target is drawn."""
    states, table, target = example()
    mean = torch.zeros(3, dtype=torch.float64)
    for one, share in enumerate(shares):
        for other, second in enumerate(shares):
            classes = torch.tensor([one, other])
            drawn = Drawn(classes, (2 * torch.tensor([share, second], dtype=torch.float64)).log())
            totals = sampled_totals(states, chosen_of(states, table, target), target, table[classes], drawn)
            mean += share * second * totals.exp().detach()
    torch.testing.assert_close(mean, (states @ table.T).exp().sum(1).detach(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("held", [3, 2**22])
def test_every_other_class_drawn_once_is_the_full_softmax(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "CACHED", held)
    states, table, target = example()
    weight = torch.tensor([0.5, 0.3, 0.0], dtype=torch.float64)
    drawn = Drawn(torch.arange(CLASSES), torch.zeros(CLASSES))
    found = sampled_cross_entropy(states, table, target, weight, drawn)
    full = (F.cross_entropy(states @ table.T, target, reduction="none") * weight).sum()
    torch.testing.assert_close(found, full, rtol=1e-12, atol=0)
    for pair in zip(*(torch.autograd.grad(loss, (states, table)) for loss in (found, full)), strict=True):
        torch.testing.assert_close(*pair, rtol=1e-10, atol=1e-12)


def test_a_target_that_is_all_that_was_drawn_is_certain_and_what_does_not_count_changes_nothing() -> None:
    states, table, target = example()
    weight = torch.ones(3, dtype=torch.float64)
    drawn = Drawn(torch.tensor([2, 2, 1]), torch.tensor([0.0, 0.7, torch.inf]))
    loss = sampled_cross_entropy(states, table, target, weight, drawn)
    of_states, of_table = torch.autograd.grad(loss, (states, table))
    assert torch.equal(of_states[0], torch.zeros(4))
    assert of_states.isfinite().all()
    assert torch.equal(of_table[1], torch.zeros(4))
    # The second target is told from item 2, which counts as one and as exp(-.7).
    own, other = (table[[0, 2]] @ states[1]).tolist()
    assert loss.item() == pytest.approx(math.log(1 + (1 + math.exp(-0.7)) * math.exp(other - own)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "uniform"}, "give how many are drawn"),
        ({"kind": "popularity", "number": 0}, "1 or more"),
        ({"kind": "in_batch", "number": 5}, "leave out number=5"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(GenrecError, match=says):
        Negatives(**options)

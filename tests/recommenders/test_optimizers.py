from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from genrec.errors import GenrecError
from genrec.recommenders.optimizers import Schedule, make_schedule, parameter_groups
from genrec.testing import tiny_backbone

ITEMS = 12


class Parts(nn.Module):
    """One of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(4, 6)
        self.norm = nn.LayerNorm(6)
        self.words = nn.Embedding(5, 4)
        self.tied = nn.Linear(4, 5, bias=False)
        self.tied.weight = self.words.weight
        self.head = nn.Linear(4, ITEMS, bias=False)
        self.queries = nn.Parameter(torch.zeros(3, 4))
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


def names(module: nn.Module, parameters: list[nn.Parameter]) -> set[str]:
    known = {id(parameter): name for name, parameter in module.named_parameters()}
    return {known[id(parameter)] for parameter in parameters}


def test_linear_maps_decay_and_nothing_else_does() -> None:
    module = Parts()
    decaying, others = parameter_groups(module, ITEMS, lr=0.5)
    assert names(module, decaying["params"]) == {"map.weight"}
    assert names(module, others["params"]) == {
        *("map.bias", "norm.weight", "norm.bias", "words.weight", "head.weight", "queries")
    }
    assert ("weight_decay" in decaying, others["weight_decay"]) == (False, 0.0)
    assert decaying["lr"] == others["lr"] == 0.5


@pytest.mark.parametrize("kind", ["t5", "causal"])
def test_of_a_language_model_only_its_maps_decay(kind: str) -> None:
    backbone = tiny_backbone(kind)
    decaying, others = parameter_groups(backbone, ITEMS)
    assert all(parameter.ndim == 2 for parameter in decaying["params"])
    assert all("norm" not in name and "embed" not in name for name in names(backbone, decaying["params"]))
    rest = names(backbone, others["params"])
    assert all(any(part in name for part in ("norm", "embed", "shared", "bias")) for name in rest), rest
    everything = [parameter for group in (decaying, others) for parameter in group["params"]]
    assert len(everything) == len(list(backbone.parameters()))


def test_what_does_not_learn_is_no_group() -> None:
    assert parameter_groups(nn.Linear(2, 2).requires_grad_(False), ITEMS) == []
    assert len(parameter_groups(nn.LayerNorm(2), ITEMS)) == 1


def rates(name: Schedule, warmup: int, steps: float, taken: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], 1.0)
    schedule = make_schedule(name, optimizer, warmup, steps)
    found = []
    for _ in range(taken):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return [*found, optimizer.param_groups[0]["lr"]]


@pytest.mark.parametrize(
    ("name", "later"),
    [
        ("cosine", lambda step: 0.5 + 0.5 * math.cos(math.pi * (step - 4) / 16)),
        ("linear", lambda step: (20 - step) / 16),
        ("inverse_sqrt", lambda step: math.sqrt(4 / step)),
        ("constant", lambda step: 1.0),
    ],
)
def test_schedules(name: Schedule, later: Any) -> None:
    expected = [step / 4 if step < 4 else later(step) for step in range(21)]
    assert rates(name, 4, 20, 20) == pytest.approx(expected)
    if name in ("inverse_sqrt", "constant"):
        assert rates(name, 4, math.inf, 20) == pytest.approx(expected)
    else:
        with pytest.raises(GenrecError, match=r"which that is: give `trainer\.max_epochs`"):
            rates(name, 4, math.inf, 20)


def test_a_warm_up_is_no_longer_than_the_training() -> None:
    assert rates("constant", 100, 4, 4) == pytest.approx([0, 0.25, 0.5, 0.75, 1])

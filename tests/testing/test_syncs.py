"""What makes the host wait is counted, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from genrec.testing import Syncs

COUNTED: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "int": lambda x: int(x.max()),
    "if": lambda x: bool((x > 1).any()),
    "nonzero": lambda x: x.nonzero(),
    "where": lambda x: torch.where(x > 1),
    "pick by a mask": lambda x: x[x > 1],
    "pick columns by a mask": lambda x: x[None][:, x > 1],
    "unique": lambda x: x.unique(),
    "equal": lambda x: torch.equal(x, x),
    "counts of a tensor": lambda x: x.repeat_interleave(torch.ones(6, dtype=torch.long)),
}
FREE: dict[str, Callable[[Tensor], object]] = {
    "pick by rows": lambda x: x[torch.tensor([1, 2])],
    "choose": lambda x: torch.where(x > 1, x, 0),
    "fill": lambda x: x.masked_fill(x > 1, 0.0),
    "set by a mask": lambda x: x.clone().__setitem__(x > 1, 0.0),
    "repeat": lambda x: x.repeat_interleave(2),
    "product": lambda x: x @ x,
}


@pytest.mark.parametrize("name", COUNTED)
def test_waiting_is_counted(name: str) -> None:
    with Syncs() as syncs:
        COUNTED[name](torch.arange(6.0))
    assert syncs.total == 1, syncs.counts


@pytest.mark.parametrize("name", FREE)
def test_work_that_waits_for_nothing_is_not(name: str) -> None:
    with Syncs() as syncs:
        FREE[name](torch.arange(6.0))
    assert syncs.total == 0, syncs.counts

"""Dropout whose random numbers cost a CPU little: a fifth of a small model's training step went into them.

PyTorch draws a number of 64 bits for every element; here one serves four. So p is a multiple of 2^-16, as near as that
comes, and what is kept is divided by exactly the share that is kept.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LANES = 4
STEPS = 2**16


def dropout(numbers: Tensor, p: float) -> Tensor:
    """Zero each number with probability p, and scale the others so that the mean stays.

    Args:
        numbers: float of any shape.
        p: from 0 to below 1.
    """
    threshold = round(p * STEPS)
    if numbers.device.type != "cpu" or not 0 < threshold < STEPS or torch.compiler.is_compiling():
        return F.dropout(numbers, p)
    count = numbers.numel()
    drawn = torch.empty(-(-count // LANES), dtype=torch.int64).random_(-(2**63), None)
    lanes = drawn.view(torch.int16)[:count].view(numbers.shape)
    # Written as numbers at once: to convert truth values takes as long as all the rest.
    kept = torch.ge(lanes, threshold - STEPS // 2, out=torch.empty_like(numbers))
    return numbers * kept.mul_(STEPS / (STEPS - threshold))


class Dropout(nn.Dropout):
    """A layer of `dropout`."""

    def forward(self, numbers: Tensor) -> Tensor:
        """Drop while training; otherwise nothing."""
        return dropout(numbers, self.p) if self.training and self.p else numbers


def take_place(model: nn.Module) -> None:
    """Put `Dropout` in the place of every dropout of PyTorch's in a model."""
    for module in list(model.modules()):
        for name, part in module.named_children():
            if type(part) is nn.Dropout:
                setattr(module, name, Dropout(part.p).train(part.training))

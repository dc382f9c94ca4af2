"""What identifiers share: the auto-encoders' layers (SETRec, Section 4.1.3), and rows of tables that are learned."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

HIDDEN = (512, 256, 128)


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers with ReLU between them, none after the last; Xavier-normal weights, zero biases."""
    layers: list[nn.Module] = []
    for size, following in pairwise(sizes):
        linear = nn.Linear(size, following)
        nn.init.xavier_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])

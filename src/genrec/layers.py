"""What identifiers share: the auto-encoders' layers (SETRec, Section 4.1.3), and rows of tables that are learned."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from genrec import devices

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


def take_rows(table: Tensor, rows: Tensor) -> Tensor:
    """Rows [...] of a table [N, ...]; its gradients are added up in place, where indexing would sort the rows first."""
    return table.index_select(0, rows.flatten()).unflatten(0, rows.shape)


def distinct_rows(rows: Tensor, count: int) -> tuple[Tensor | None, Tensor]:
    """The rows that occur, so that what is made of a row is made once.

    Args:
        rows: [...] long, from 0 on.
        count: how many rows there are.

    Returns:
        the rows [n], or None for all there are, and where each one of ``rows`` is among them, [...] long. Where the
        rows are not to be looked at (`genrec.devices.exact_sizes`), some occur more than once, but never more than
        ``count`` are returned.
    """
    if devices.exact_sizes(rows.device):
        return rows.unique(return_inverse=True)
    if rows.numel() < count:
        return rows.flatten(), torch.arange(rows.numel(), device=rows.device).view(rows.shape)
    return None, rows

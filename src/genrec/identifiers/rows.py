"""Rows of tables that are learned, or are made from what learns."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from genrec import devices


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


def rising_rows(rows: Tensor) -> Tensor:
    """The rows that occur in [...], rising, [n]; as often as they do, where they are not to be looked at."""
    return rows.unique() if devices.exact_sizes(rows.device) else rows.flatten().sort().values


class Encoded(NamedTuple):
    """The tokens of some items.

    Args:
        rows: [n] long, these items, rising; None for all.
        tokens: [n, K, D].
    """

    rows: Tensor | None
    tokens: Tensor

    def places(self, items: Tensor) -> Tensor:
        """Where items [...] stand among them."""
        return items if self.rows is None else torch.searchsorted(self.rows, items)

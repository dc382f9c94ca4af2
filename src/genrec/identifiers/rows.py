"""Rows of tables that are learned, or are made from what learns."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from genrec import devices


def take_rows(table: Tensor, rows: Tensor) -> Tensor:
    """Rows [...] of a table [N, ...]; its gradients are added up in place, where indexing would sort the rows first."""
    return table.index_select(0, rows.flatten()).unflatten(0, rows.shape)


def joined_rows(first: Tensor, behind: Tensor, rows: Tensor | slice) -> Tensor:
    """Rows of two tables [N, ...] and [n, ...], the second behind the first, as if they were one; neither is copied.

    Args:
        first: a table.
        behind: another one.
        rows: [...] long, or a slice with a start and a stop.
    """
    count = len(first)
    if isinstance(rows, slice):
        last = behind[max(rows.start - count, 0) : max(rows.stop - count, 0)]
        parts = [part for part in (first[rows], last) if len(part)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)
    if not len(behind):
        return first[rows]
    known = (rows < count).view(*rows.shape, *[1] * (first.ndim - 1))
    return torch.where(known, first[rows.clamp(max=count - 1)], behind[(rows - count).clamp(min=0)])


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

"""Prefixes of histories that were read together, as if each were a row of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.data.extras import zero_where
from genrec.types import PAD, Asked, Batch, Extras, Prefixes


def one_by_one(batch: Batch | Asked, prefixes: Prefixes) -> tuple[Tensor, Tensor]:
    """What is predicted from what: histories [R, T] and targets [R], as if the prefixes were rows of a batch."""
    sequence = torch.cat([batch.history, batch.target[:, None]], 1)
    users, stops = prefixes
    columns = _columns(prefixes, batch.history.shape[1])
    history = batch.history[users].gather(1, columns.clamp(min=0))
    return torch.where(columns >= 0, history, PAD), sequence[users, stops]


def cut(extras: Extras, prefixes: Prefixes, width: int) -> Extras:
    """What histories [B, width] hold, as if the prefixes were rows of a batch: [R, ...] and [R, width, ...]."""
    users, columns = prefixes.users, _columns(prefixes, width)
    rows = users[:, None].expand_as(columns), columns.clamp(min=0)
    items = {name: zero_where(numbers[rows], columns < 0) for name, numbers in extras.items.items()}
    return Extras({name: numbers[users] for name, numbers in extras.users.items()}, items)


def _columns(prefixes: Prefixes, width: int) -> Tensor:
    """The columns of their histories that prefixes have, [R, width]; below 0 for padding.

    Padded on the left again: the last item of a prefix stands in the last column.
    """
    return torch.arange(width, device=prefixes.stops.device) + prefixes.stops[:, None] - width

"""The denominator of a softmax over very many classes, a few of them at a time, made again where gradients need it.

The rows of millions of items, what an encoder holds while it makes them, and their logits are each larger than a
machine's memory. A part of them is not: it is made, added up and forgotten, and in the backward pass made once more
(Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016, arXiv 1604.06174).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from genrec.devices import held_at_once, widen


def logits_of(states: Tensor, rows: Tensor) -> Tensor:
    """Products [R, n] of states [R, d] and rows [n, d], made in the trainer's precision or that of the rows; wide."""
    dtype = product_dtype(rows)
    return widen(states.to(dtype) @ rows.to(dtype).T)


def product_dtype(rows: Tensor) -> torch.dtype:
    """What products with the rows of a table are made in: the trainer's precision, or else that of the table."""
    kind = rows.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else rows.dtype


def classes_at_once(device: torch.device, numbers: int) -> int:
    """How many classes make a part, if each of them takes so many numbers."""
    return max(1, held_at_once(device) // numbers)


def log_totals(parts: Sequence[Callable[[], Tensor]]) -> Tensor:
    """The logarithms of the sums of the exponentials of all logits, [R].

    Args:
        parts: each makes the logits [R, n] of its classes, the same ones whenever it is called. No more than one part
            is held at a time, in the backward pass either.
    """
    if len(parts) == 1:
        return _log_total(parts[0])
    totals = [checkpoint(_log_total, make, use_reentrant=False, preserve_rng_state=False) for make in parts]
    return torch.stack(totals).logsumexp(0)


def _log_total(make: Callable[[], Tensor]) -> Tensor:
    return make().logsumexp(1)

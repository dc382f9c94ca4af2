"""T5's learned bias of the distance of two tokens, as one additive mask that is made once for all layers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from genrec.backbones.inner import distance_table


def additive_mask(stack: nn.Module, seen: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    """T5's bias of every distance, and -max where nothing is seen, in the numbers that products are made in.

    Args:
        stack: encoder or decoder.
        seen: [B, Q, S] bool.
        queries: [B, Q] long, positions; a single row serves all users, a single column all tokens.
        keys: [B, S] long, positions; a single row serves all users.

    Returns:
        [B, heads, Q, S].
    """
    reach = seen.shape[-1]
    table = distance_table(stack, reach)
    kind = table.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else table.dtype
    # What is not seen is one more distance.
    table = F.pad(table, (0, 1), value=torch.finfo(dtype).min)
    apart = keys.clamp(min=0)[:, None, :] - queries.clamp(min=0)[:, :, None] + reach
    apart = torch.where(seen, apart, 2 * reach + 1)
    bias: Tensor = _Pick.apply(table, apart.flatten(), dtype)
    return bias.unflatten(1, apart.shape).transpose(0, 1)


class _Pick(torch.autograd.Function):
    """Columns [heads, n] of a table in other numbers; their gradients, of which there are many, add up in its own."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(index)
        ctx.like = table
        return table.to(dtype).index_select(1, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (index,) = ctx.saved_tensors
        total = torch.zeros_like(ctx.like)
        # One head at a time: all of them at once in float32 would take twice the memory.
        for row, part in zip(total, gradient, strict=True):
            row.index_add_(0, index, part.to(row))
        return total, None, None

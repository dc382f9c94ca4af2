"""The cross-entropy of a linear map's outputs: a softmax over many rows, a few states at a time.

The logits [R, n] of R states and n rows of a table are by far the largest tensor of a training step, and are looked at
again and again: by the softmax, its logarithm, and the gradients of both. Here they are made in parts that stay in the
cache, and while a part is there its gradients are taken at once, so that no logit is kept or computed twice. Where a
part would hold all classes of hardly any state, it holds some classes of all states instead, and is made twice.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from genrec.devices import held_at_once, widen
from genrec.losses.totals import classes_at_once, log_totals, logits_of, product_dtype

FEW = 16
"""States whose logits are too few at a time: the whole table is read for them."""


def linear_cross_entropy(states: Tensor, table: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """The weighted sum of the cross-entropies of states: scalar, float32 or more.

    Products are made in the trainer's precision, or that of the table, and all else in at least float32. Peak memory
    beyond the arguments and their gradients is that of the logits that are `held_at_once`.

    Args:
        states: [R, D] float.
        table: [n, D] float, a row per class; a class's logit is its product with the state.
        target: [R] long, the right classes; any class where the weight is 0.
        weight: [R] float, what each state counts, such as 1 / R for the mean. Not learned.
    """
    if held_at_once(states.device) // len(table) < min(FEW, len(states)):
        return _by_classes(states, table, target, weight)
    total: Tensor = _LinearCrossEntropy.apply(states, table, target, weight)
    return total


def _by_classes(states: Tensor, table: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    pieces = table.split(classes_at_once(states.device, len(states)))
    chosen = (widen(states) * widen(table.index_select(0, target))).sum(1)
    return ((log_totals([partial(logits_of, states, piece) for piece in pieces]) - chosen) * weight).sum()


class _LinearCrossEntropy(torch.autograd.Function):
    """The gradients are made in the forward pass, for a loss whose own gradient is 1, and scaled in the backward."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, table: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        dtype = product_dtype(table)
        left, right = states.detach().to(dtype), table.detach().to(dtype)
        wants_states, wants_table = ctx.needs_input_grad[:2]
        of_states = torch.empty_like(states) if wants_states else None
        wide = torch.promote_types(table.dtype, torch.float32)
        of_table = torch.zeros(table.shape, dtype=wide, device=table.device) if wants_table else None
        total = torch.zeros((), dtype=wide, device=states.device)
        size = max(1, held_at_once(states.device) // len(table))
        for start in range(0, len(states), size):
            rows = slice(start, start + size)
            logits = widen(left[rows] @ right.T)
            right_one, counts = target[rows, None], weight[rows, None].to(wide)
            most = logits.amax(1, keepdim=True)
            chosen = logits.gather(1, right_one)
            sums = logits.sub_(most).exp_().sum(1, keepdim=True)
            total += ((sums.log() + most - chosen) * counts).sum()
            if not (wants_states or wants_table):
                continue
            gradient = logits.mul_(counts / sums).scatter_add_(1, right_one, -counts).to(dtype)
            if of_states is not None:
                of_states[rows] = (gradient @ right).to(states.dtype)
            if of_table is not None and of_table.dtype == dtype:
                of_table.addmm_(gradient.T, left[rows])
            elif of_table is not None:
                of_table += gradient.T @ left[rows]
        ctx.save_for_backward(of_states, of_table if of_table is None else of_table.to(table.dtype))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        of_states, of_table = (part if part is None else part * gradient.to(part.dtype) for part in ctx.saved_tensors)
        return of_states, of_table, None, None

"""PyTorch's FlexAttention: masks that are never written down, and T5's bias without a table that wants a gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from genrec.backbones.attention.sight import Sight

Attention = Literal["auto", "dense", "flex"]
"""Dense masks, FlexAttention, or what is best on the device."""

SMALLEST = 16
"""FlexAttention's kernels do not take narrower heads."""


class Bias(NamedTuple):
    """What is added to a logit for the distance of two tokens.

    Args:
        table: [heads, 2 R + 1] float, of the distances -R .. R.
        places: [B, S] long, from 0 on, where the tokens stand; one row may serve all.
    """

    table: Tensor
    places: Tensor


def uses_flex(attention: Attention, example: Tensor, head: int, dropout: float) -> bool:
    """Whether a call takes FlexAttention.

    Args:
        attention: what was asked for.
        example: a tensor on the device.
        head: the width of an attention head.
        dropout: of the attention's weights. FlexAttention has none: ``auto`` takes a dense mask then, ``flex`` leaves
            the dropout out.

    Its kernels are compiled for every few lengths, which takes minutes: ``auto`` takes it to learn, never to rank.
    """
    if attention == "auto":
        return example.device.type == "cuda" and head >= SMALLEST and not dropout and torch.is_grad_enabled()
    return attention == "flex"


def block_mask(sight: Sight) -> BlockMask:
    """The blocks of a sequence that are seen at all, and the rule inside them."""
    rows, length = sight.real.shape
    create = _compiled_mask() if sight.real.device.type == "cuda" else create_block_mask
    mask: BlockMask = create(sight.rule(), rows, None, length, length, device=sight.real.device)
    return mask


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, scaling: float | None, bias: Bias | None
) -> Tensor:
    """[B, heads, S, d] from queries, and keys and values [B, heads or fewer, S, d]."""
    # Under autocast, what was turned by its position is float32 again.
    query, key = query.to(value.dtype), key.to(value.dtype)
    group = query.shape[1] // key.shape[1]
    if group & (group - 1):
        # The kernels share keys between 2, 4, 8 ... heads only.
        key, value = (part.repeat_interleave(group, 1) for part in (key, value))
    score = None if bias is None else _adds(bias)
    inside = torch.compiler.is_compiling() or query.device.type == "cpu"
    run: Callable[..., Any] = flex_attention if inside else _compiled()
    out: Tensor = run(
        query, key, value, score, block_mask=mask, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
    )
    return out


def _adds(bias: Bias) -> Callable[..., Tensor]:
    table, places = bias
    # A tensor rather than a number, which the kernel would have to be told whenever lengths change.
    shifted = places + table.shape[1] // 2

    def score(logit: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return logit + table[h, shifted[b, k] - places[b, q]]

    return score


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention)


@cache
def _compiled_mask() -> Any:
    return torch.compile(create_block_mask)

"""T5's bias of distances as one additive mask."""

from __future__ import annotations

import torch
from torch import nn

from genrec.backbones.attention.bias import additive_mask
from genrec.testing import tiny_backbone


def test_many_gradients_add_up_in_float32_whatever_products_are_made_in() -> None:
    stack: nn.Module = tiny_backbone("t5").t5.encoder  # type: ignore[union-attr, assignment]
    weight = stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight  # type: ignore[union-attr, index]
    place = torch.arange(30).expand(40, -1)
    seen = torch.rand(40, 30, 30) < 0.9
    with torch.autocast("cpu", torch.bfloat16):
        mask = additive_mask(stack, seen, place, place)
    assert (mask.dtype, mask.shape) == (torch.bfloat16, (40, 4, 30, 30))
    assert (mask == torch.finfo(torch.bfloat16).min).sum() == 4 * (~seen).sum()
    mask.sum().backward()
    # bfloat16 counts to 256.
    assert weight.grad.sum(0).tolist() == [seen.sum()] * 4

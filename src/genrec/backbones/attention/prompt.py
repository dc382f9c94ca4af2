"""What a decoder-only model keeps of a prompt, and how later tokens attend to it without a copy.

A cache of transformers joins the keys of a prompt with those of every new token; here they stay two tensors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask

from genrec.backbones.attention import flex
from genrec.backbones.attention.tree import take_columns

ATTENTION = "genrec_causal"


class CausalMemory(NamedTuple):
    """A prompt that was read.

    Args:
        keys: of every layer, [B, heads, S, d].
        values: of every layer, [B, heads, S, d].
        mask: [B, S] bool, the real tokens.
        length: [B] long, the position after the last one.
    """

    keys: list[Tensor]
    values: list[Tensor]
    mask: Tensor
    length: Tensor

    def select(self, rows: Tensor) -> CausalMemory:
        """See `genrec.backbones.base.Memory`."""
        keys, values = ([part[rows] for part in layers] for layers in (self.keys, self.values))
        return CausalMemory(keys, values, self.mask[rows], self.length[rows])


class Recorder:
    """Takes the place of a cache: hands the keys and values of a layer on, and remembers them."""

    def __init__(self) -> None:
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Remember a layer's keys and values."""
        self.keys.append(keys)
        self.values.append(values)
        return keys, values

    def get_seq_length(self, *_: object) -> int:
        """Positions are given, so nothing asks how long the past is."""
        return 0


class Grower:
    """Takes the place of a cache: keeps the keys and values of a tree's tokens, behind which new ones are put."""

    def __init__(self, memory: CausalMemory) -> None:
        self.memory = memory
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Put a layer's new keys and values behind the earlier ones."""
        if layer in self.keys:
            keys = torch.cat([self.keys[layer], keys], 2)
            values = torch.cat([self.values[layer], values], 2)
        self.keys[layer], self.values[layer] = keys, values
        return keys, values

    def keep(self, columns: Tensor) -> None:
        """Keep these columns [B, n] of the tree in every layer, and forget the others."""
        for layers in (self.keys, self.values):
            for layer, part in layers.items():
                layers[layer] = take_columns(part, columns)

    def get_seq_length(self, *_: object) -> int:
        """Positions are given, so nothing asks how long the past is."""
        return 0


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | BlockMask | None,
    scaling: float,
    prompt: CausalMemory | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """PyTorch's fused attention, causal where no mask is given; for the tokens of a tree, attention to a prompt.

    The prompt's keys stay where they are. Joined with the tree's keys in one tensor, or repeated for every query head,
    they would be copied in every step.
    """
    if isinstance(attention_mask, BlockMask):
        return flex.attend(query, key, value, attention_mask, scaling, None).transpose(1, 2), None
    if prompt is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    assert attention_mask is not None, "a tree has a mask"
    layer: int = module.layer_idx  # type: ignore[assignment]
    users, heads, count, size = query.shape
    # Logits are the largest tensors of a beam search: they are neither scaled nor copied.
    grouped = (query * scaling).reshape(users, key.shape[1], -1, size)
    before = prompt.keys[layer]
    logits = torch.cat([grouped @ before.transpose(2, 3), grouped @ key.transpose(2, 3)], 3)
    logits = logits.view(users, heads, count, -1).masked_fill_(~attention_mask, torch.finfo(logits.dtype).min)
    weights = logits.softmax(3, dtype=torch.float32).to(value.dtype).view(users, key.shape[1], grouped.shape[2], -1)
    split = before.shape[2]
    out = weights[..., :split] @ prompt.values[layer] + weights[..., split:] @ value
    return out.view(users, heads, count, size).transpose(1, 2).contiguous(), None

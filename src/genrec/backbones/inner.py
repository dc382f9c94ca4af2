"""What we use of the inside of transformers' models, which may change with any version, in this one place.

`pyproject.toml` bounds the versions above by those that were looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

LOOKED_AT = ("5.23",)
"""Minor versions whose inside is as it is taken to be here."""


def distance_table(stack: nn.Module, reach: int) -> Tensor:
    """The bias of the distances ``-reach .. reach`` in T5's encoder or decoder, float [heads, 2 reach + 1]."""
    attention: Any = stack.block[0].layer[0].SelfAttention  # type: ignore[union-attr, index]
    weight = attention.relative_attention_bias.weight
    buckets = attention._relative_position_bucket(
        torch.arange(-reach, reach + 1, device=weight.device),
        bidirectional=not attention.is_decoder,
        num_buckets=attention.relative_attention_num_buckets,
        max_distance=attention.relative_attention_max_distance,
    )
    return F.embedding(buckets, weight).T


def change_cache(cache: transformers.Cache, change: Callable[[Tensor], Tensor]) -> None:
    """Put changed keys and values in the place of those that a cache holds for every layer."""
    for layer in cache.layers:
        layer.keys = change(layer.keys)  # type: ignore[arg-type, union-attr]
        layer.values = change(layer.values)  # type: ignore[arg-type, union-attr]

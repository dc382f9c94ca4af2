"""Token sequences for the tests of the backbones, 32 wide."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.types import ORDERED, Tokens


def random_tokens(users: int, length: int, seed: int = 0) -> Tokens:
    return Tokens.ordered(torch.randn(users, length, 32, generator=torch.Generator().manual_seed(seed)))


def with_padding(tokens: Tokens, count: int, at: int) -> Tokens:
    users = len(tokens.embeds)

    def insert(part: Tensor, filler: Tensor) -> Tensor:
        return torch.cat([part[:, :at], filler, part[:, at:]], 1)

    return Tokens(
        insert(tokens.embeds, torch.full((users, count, 32), 7.0)),
        insert(tokens.mask, torch.zeros(users, count, dtype=torch.bool)),
        insert(tokens.sets, torch.full((users, count), ORDERED)),
    )

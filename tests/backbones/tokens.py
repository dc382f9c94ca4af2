"""Token sequences for the tests of the backbones, 32 wide."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.backbones import Backbone
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


def grows_like_its_branches(backbone: Backbone) -> None:
    """A tree of three generations against its branches, for two users of whom one has a padded prompt."""
    context = Tokens.concat(with_padding(random_tokens(2, 4), 2, at=1), random_tokens(2, 3, seed=4))
    context = Tokens(context.embeds, context.mask.clone(), context.sets)
    context.mask[0, 0] = False
    memory = backbone.read(context)
    root, second, third = (random_tokens(2, n, seed=n).embeds for n in (1, 2, 3))
    tree = backbone.tree(memory)
    tree.write(root)
    tree.write(second, torch.zeros(2, 2, dtype=torch.long))
    parents = torch.tensor([[1, 0, 1], [0, 0, 1]])
    found = tree.write(third, parents)
    for leaf in range(3):
        middle = second[torch.arange(2), parents[:, leaf]][:, None]
        alone = backbone.write(memory, Tokens.ordered(torch.cat([root, middle, third[:, leaf : leaf + 1]], 1)))
        torch.testing.assert_close(found[:, leaf], alone[:, -1], atol=1e-5, rtol=1e-5)

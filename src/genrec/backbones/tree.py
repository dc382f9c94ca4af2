"""Beams as a tree: what was written after a prompt stays where it is, and is read by what follows it.

Every call of `Tree.write` adds one generation of tokens. Two beams of a user that share their first token::

    call 1   start                     columns   0
    call 2   a  b                                1 2
    call 3   c (after a)  d (after a)            3 4

    who sees whom in call 3    0 1 2 3 4
                          c    x x . x .
                          d    x x . . x

Nothing is reordered when beams die, and the prompt's keys and values exist once per user, whatever the number of beams
and candidate sets. Memory grows by one column per token written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Tree(ABC):
    """The tokens written after one read of a batch of prompts; made by `Backbone.tree`.

    Args:
        users: B, how many prompts.
    """

    def __init__(self, users: int) -> None:
        self.users = users
        self._seen: Tensor | None = None
        self._sizes: list[int] = []

    def write(self, embeds: Tensor, parents: Tensor | None = None) -> Tensor:
        """Add a generation of tokens.

        Args:
            embeds: [B, n, D], their embeddings.
            parents: [B, n] long, which token of the generation before each follows; None for the first generation,
                whose tokens follow the prompt.

        Returns:
            [B, n, D], the model's last hidden state at every new token.
        """
        count = embeds.shape[1]
        itself = torch.eye(count, dtype=torch.bool, device=embeds.device).expand(len(embeds), -1, -1)
        assert (parents is None) == (self._seen is None), "the first generation, and no other, has no parents"
        if parents is None or self._seen is None:
            self._seen = itself
        else:
            inherited = self._seen.gather(1, parents[:, :, None].expand(-1, -1, self._seen.shape[2]))
            self._seen = torch.cat([inherited, itself], 2)
        self._sizes.append(count)
        sizes = torch.tensor(self._sizes, device=embeds.device)
        return self._decode(embeds, self._seen, torch.arange(len(sizes), device=embeds.device).repeat_interleave(sizes))

    @abstractmethod
    def _decode(self, embeds: Tensor, seen: Tensor, generations: Tensor) -> Tensor:
        """Run the model on the last generation.

        Args:
            embeds: [B, n, D].
            seen: [B, n, total] bool, which of all tokens written each new one sees.
            generations: [total] long, how many tokens stand between each and the prompt.
        """

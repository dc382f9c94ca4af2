"""Beams as a tree: what was written after a prompt is read by what follows it, and kept once for all beams.

Every call of `Tree.write` adds one generation of tokens. Two beams of a user that share their first token::

    call 1   start                     columns   0
    call 2   a  b                                1 2
    call 3   c (after a)  d (after a)            3 4

    who sees whom in call 3    0 1 2 3 4
                          c    x x . x .
                          d    x x . . x

A column that the new tokens do not see is dead, as 2 is from call 3 on: nothing that is written later can see it. When
many are, those that live are moved together, user by user, and the others forgotten::

    call 3   c  d                      columns   0 1 3 4      become   0 1 2 3
                          c    x x x .
                          d    x x . x

So the tree is as large as the family of its beams, not as all that was ever tried. The prompt's keys and values stay
where they are: they exist once per user, whatever the number of beams and candidate sets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

CROWDED = 0.75
"""Columns are moved together when no user has a larger share of them alive: moving them takes time as well."""


class Tree(ABC):
    """The tokens written after one read of a batch of prompts; made by `Backbone.tree`.

    Args:
        users: B, how many prompts.
    """

    def __init__(self, users: int) -> None:
        self.users = users
        self._seen: Tensor | None = None
        self._generations = torch.empty(1, 0, dtype=torch.long)
        self._depth = 0

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
            self._seen, self._generations = itself, self._generations.to(embeds.device)
        else:
            inherited = self._seen.gather(1, parents[:, :, None].expand(-1, -1, self._seen.shape[2]))
            self._seen = torch.cat([self._drop_dead(inherited), itself], 2)
        new = self._generations.new_full((len(self._generations), count), self._depth)
        self._generations = torch.cat([self._generations, new], 1)
        self._depth += 1
        return self._decode(embeds, self._seen, self._generations)

    def _drop_dead(self, inherited: Tensor) -> Tensor:
        """Forget the columns that none of the next tokens [B, n, total] sees, if they are many: [B, n, fewer]."""
        living = inherited.any(1)
        most = int(living.sum(1).max())
        if most > CROWDED * living.shape[1]:
            return inherited
        # A user who has fewer keeps some of the dead, which nobody sees.
        columns = living.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
        self._keep(columns)
        self._generations = self._generations.expand(len(columns), -1).gather(1, columns)
        return inherited.gather(2, columns[:, None].expand(-1, inherited.shape[1], -1))

    @abstractmethod
    def _keep(self, columns: Tensor) -> None:
        """Keep what the model remembers of these columns [B, fewer], in this order, and forget the others."""

    @abstractmethod
    def _decode(self, embeds: Tensor, seen: Tensor, generations: Tensor) -> Tensor:
        """Run the model on the last generation.

        Args:
            embeds: [B, n, D].
            seen: [B, n, total] bool, which of all columns each new token sees, the new ones being the last n.
            generations: [B, total] long, how many tokens stand between each and the prompt; [1, total] serves all.
        """


def take_columns(part: Tensor, columns: Tensor) -> Tensor:
    """[B, heads, n, d] out of keys or values [B, heads, total, d]: each user's columns [B, n]."""
    return part.gather(2, columns[:, None, :, None].expand(-1, part.shape[1], -1, part.shape[3]))

"""Who sees whom among the tokens of a sequence: ONE definition, of which every kernel's mask is made.

A sequence of one word, an item of two tokens, an item of two tokens and a word, ``sets = [-1, 0, 0, 1, 1, -1]``::

    both ways   x x x x x x          the word sees everything
                x x . x x x          an item's token sees itself, not its sister,
                x . x x x x          and every other token of the sequence
                x x x x . x
                x x x . x x
                x x x x x x

The members of a set whose number is `SEEING` or less see each other, too: ``sets = [-1, -2, -2, -3, -3, -1]`` would be
a picture without dots. In a decoder nobody sees a later position; sisters share theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genrec.backbones.attention.masks import positions
from genrec.types import ORDERED, Tokens

Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Whether, in row b and head h, token q sees token k; for indices of any shapes that go together."""

TRUNK = -1
"""The branch of a token that belongs to none."""


@dataclass(frozen=True)
class Branches:
    """Branches behind a trunk, side by side in one sequence: each sees a part of the trunk, and itself.

    Args:
        number: [B, S] long, the branch of a token; `TRUNK` for those of the trunk.
        cut: [B, S] long, how many columns of the trunk a token sees at most.
    """

    number: Tensor
    cut: Tensor


@dataclass(frozen=True)
class Sight:
    """Who sees whom.

    Padding is seen by nobody. A padded row of a decoder sees itself, so that no softmax is ever taken over nothing.

    Args:
        real: [B, S] bool.
        sets: [B, S] long, as in `Tokens`.
        places: [B, S] long, positions: in a decoder a token sees what is not later, and itself. None is an encoder,
            where it sees both ways.
        branches: None is one sequence.
    """

    real: Tensor
    sets: Tensor
    places: Tensor | None = None
    branches: Branches | None = None

    @staticmethod
    def both_ways(tokens: Tokens) -> Sight:
        """In an encoder."""
        return Sight(tokens.mask, tokens.sets)

    @staticmethod
    def backwards(tokens: Tokens) -> Sight:
        """In a decoder."""
        return Sight(tokens.mask, tokens.sets, positions(tokens))

    def rule(self) -> Rule:
        """The definition, over tensors that it holds."""
        real, sets, places, branches = self.real, self.sets, self.places, self.branches

        def sees(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            blind = (sets[b, q] == sets[b, k]) & (sets[b, k] > ORDERED) & (q != k)
            if branches is not None:
                blind = blind & (branches.number[b, q] == branches.number[b, k])
            seen = real[b, k] & ~blind
            if branches is not None:
                trunk = (branches.number[b, k] == TRUNK) & (k < branches.cut[b, q])
                seen = seen & (trunk | (branches.number[b, k] == branches.number[b, q]))
            if places is not None:
                seen = (seen & (places[b, k] <= places[b, q])) | (q == k)
            return seen

        return sees

    def dense(self) -> Tensor:
        """[B, S, S] bool, True where token i (dim 1) sees token j (dim 2); one row, if it serves all."""
        rows, length = self.real.shape
        index = torch.arange(length, device=self.real.device)
        row = torch.arange(rows, device=self.real.device)[:, None, None]
        return self.rule()(row, row, index[:, None], index).expand(rows, length, length)

    def plain(self) -> bool:
        """Whether every token is real, ordered, and sees all that stand before it and none behind.

        It is looked at on a CPU alone, where nobody waits for the answer; elsewhere it counts as unknown: False.
        """
        if self.real.device.type != "cpu" or self.places is None or self.branches is not None:
            return False
        sets = self.sets.numpy()
        return bool(self.real.numpy().all() and (sets == ORDERED).all())


def pattern(tokens: Tokens) -> Tokens:
    """One row that serves all where all have the same mask and sets, for masks and biases that are the same too.

    It is looked for on a CPU alone; elsewhere these are all rows.
    """
    if tokens.mask.device.type == "cpu" and len(tokens.mask):
        mask, sets = tokens.mask.numpy(), tokens.sets.numpy()
        if (mask == mask[:1]).all() and (sets == sets[:1]).all():
            return Tokens(tokens.embeds[:1], tokens.mask[:1], tokens.sets[:1])
    return tokens

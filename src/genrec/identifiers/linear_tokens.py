"""Tokens of very many items that are linear maps of one short vector per item, and are never made.

The inner product of a token z that was written and the token W v + b of an item is that of W'z and v, plus that of z
and b, which is the same for all items: it changes no softmax and no ranking. So z is brought to the items' vectors once
per user, in the place of every v to the tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from genrec.devices import full_precision, widen
from genrec.losses import Drawn, classes_at_once, log_totals, logits_of, sampled_totals

Items = Tensor | slice
"""Rows [n] of a catalogue, or a stretch of it."""


class LinearTokens(NamedTuple):
    """m tokens of every item, all made of the same vector of h numbers.

    Args:
        weight: [m, D, h], the maps.
        bias: [m, D].
        vectors: makes the vectors [n, h] of items, with gradients where they learn.
        items: N.
        held: numbers that are held per item while its vector is made.
    """

    weight: Tensor
    bias: Tensor
    vectors: Callable[[Items], Tensor]
    items: int
    held: int

    def states(self, written: Tensor) -> Tensor:
        """What was written, [B, m, D], where the items' vectors are: [B, m, h], float32 or more."""
        with full_precision(written.device):
            return torch.einsum("bmd,mdh->bmh", widen(written), self.weight)

    def loss(self, written: Tensor, target: Tensor, drawn: Drawn | None) -> Tensor:
        """The sum of the cross-entropies of all tokens of all users: scalar.

        Args:
            written: [B, m, D].
            target: [B] long.
            drawn: items in the place of the whole catalogue; None takes all, a part at a time.
        """
        states = self.states(written)
        chosen = (states * widen(self.vectors(target))[:, None]).sum(2).flatten()
        right, states = target.repeat_interleave(states.shape[1]), states.flatten(0, 1)
        if drawn is not None:
            return (sampled_totals(states, chosen, right, self.vectors(drawn.classes), drawn) - chosen).sum()
        parts = [partial(self._logits, states, part) for part in self.parts(len(states))]
        return (log_totals(parts) - chosen).sum()

    def _logits(self, states: Tensor, part: slice) -> Tensor:
        return logits_of(states, self.vectors(part))

    def parts(self, states: int = 1) -> list[slice]:
        """Stretches of the catalogue whose vectors, and logits for so many states, are made together."""
        size = classes_at_once(self.weight.device, max(states, self.held))
        return [slice(start, start + size) for start in range(0, self.items, size)]

    def user_vectors(self, written: Tensor) -> Tensor:
        """[B, m, D] to [B, h + 1]: the product with an item's vector and a 1 is the sum over its tokens."""
        with full_precision(written.device):
            constant = (widen(written) * self.bias).sum((1, 2))
        return torch.cat([self.states(written).sum(1), constant[:, None]], 1)


def beside(kinds: Sequence[LinearTokens], written: Tensor) -> list[tuple[LinearTokens, Tensor]]:
    """Every kind of tokens, in their order, and what was written in their slots of [B, K, D]."""
    return list(zip(kinds, written.split([len(kind.weight) for kind in kinds], 1), strict=True))


def item_vectors(kinds: Sequence[LinearTokens]) -> Tensor:
    """The items' vectors and a 1 for the constant, of every kind side by side: [N, d]."""
    widths = [kind.weight.shape[2] + 1 for kind in kinds]
    found = kinds[0].weight.new_ones(kinds[0].items, sum(widths))
    for kind, columns in zip(kinds, found.split(widths, 1), strict=True):
        for part in kind.parts():
            columns[part, :-1] = kind.vectors(part)
    return found

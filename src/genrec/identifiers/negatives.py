"""Drawing the negatives of a sampled softmax, on the device and with its own random numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genrec.assets import Frequency, ItemAssets
from genrec.identifiers.names import ItemNames
from genrec.identifiers.tables import Tables, table
from genrec.losses import Drawn, Negatives
from genrec.types import PAD


class NegativeSampler(Tables):
    """Draws classes of a softmax as `Negatives` says.

    Args:
        negatives: which, and how many.
        counts: [n], how often every class is right in training.
    """

    def __init__(self, negatives: Negatives, counts: Tensor) -> None:
        super().__init__()
        self.negatives = negatives
        self.classes = len(counts)
        # A class that never occurs can be drawn, and has a probability that is not 0.
        shares = counts.double().clamp(min=1)
        shares /= shares.sum()
        self.log_shares = table(shares.log().float())
        self.cumulative = table(shares.cumsum(0))

    def draw(self, target: Tensor, real: Tensor | None = None) -> Drawn:
        """The negatives of a step.

        Args:
            target: [R] long, the right classes of this process's batch.
            real: [R] bool, which of them there are; None for all.
        """
        kind, number, device = self.negatives.kind, self.negatives.number, target.device
        if kind == "in_batch" or number is None:
            real = torch.ones_like(target, dtype=torch.bool) if real is None else real
            others = (real.sum() - 1).clamp(min=1)
            return Drawn(target, (self.log_shares[target] + others.log()).masked_fill(~real, torch.inf))
        if kind == "uniform":
            classes = torch.randint(self.classes, (number,), device=device)
            return Drawn(classes, torch.full((number,), math.log(number / self.classes), device=device))
        drawn = torch.rand(number, dtype=torch.float64, device=device)
        classes = torch.searchsorted(self.cumulative, drawn, right=True).clamp(max=self.classes - 1)
        return Drawn(classes, self.log_shares[classes] + math.log(number))


def sampler_of_items(negatives: Negatives | None, assets: ItemAssets) -> NegativeSampler | None:
    """What draws items of the data set; None where the softmax is over all of them."""
    return None if negatives is None else NegativeSampler(negatives, _taken(assets))


def sampler_of_tokens(negatives: Negatives | None, names: ItemNames, assets: ItemAssets) -> NegativeSampler | None:
    """What draws tokens of the vocabulary that items are named in; None where the softmax is over all of them."""
    if negatives is None:
        return None
    taken = _taken(assets).to(names.codes.device)
    written = names.closed(names.codes[: len(taken)])
    counts = taken.new_zeros(names.words + len(names.tokens))
    counts.index_add_(0, written.clamp(min=0).flatten(), (taken[:, None] * (written != PAD)).flatten())
    return NegativeSampler(negatives, counts)


def _taken(assets: ItemAssets) -> Tensor:
    """How often every item of the data set was taken in training, long [N]."""
    return torch.from_numpy(assets.built(Frequency())["counts"])

"""gSASRec: SASRec that is told apart from many drawn items, with a loss that does not believe itself too sure.

Petrov and Macdonald, "gSASRec: Reducing Overconfidence in Sequential Recommendation Trained with Negative Sampling",
RecSys 2023, arXiv 2308.07192; reference implementation github.com/asash/gSASRec-pytorch. As there, negatives are drawn
from the whole catalogue: a score says how probable an item is, and one that was never told from anything would stand
above all that were. An item of the user's own may be drawn, as there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.errors import GenrecError, at_least
from genrec.recommenders.sasrec import SASRecNetwork
from genrec.recommenders.sequences import AttentiveSequences, next_items
from genrec.types import Batch


def gbce(positive: Tensor, negative: Tensor, beta: float) -> Tensor:
    """The generalised binary cross-entropy [R] (Eq. 9): the right item's probability counts to the power of beta.

    Args:
        positive: [R], the scores of the right items.
        negative: [R, k], those of the items that were drawn.
        beta: 1 is the ordinary binary cross-entropy, a mean over k + 1 items.
    """
    return (beta * F.softplus(-positive) + F.softplus(negative).sum(1)) / (1 + negative.shape[1])


def calibrated(t: float, share: float) -> float:
    """The beta of `gbce` (Eq. 17).

    Args:
        t: 0 leaves scores as sure as the drawing makes them, 1 makes a score's sigmoid the probability of its item.
        share: of all wrong items, how many are drawn, called alpha there.
    """
    return 1 - t * (1 - share)


class GSASRec(AttentiveSequences):
    """gSASRec as a recommender; train it with ``SequenceData(samples="users")``.

    A step holds R x `drawn` vectors, for R positions.

    Args:
        dim: d.
        blocks: attention blocks.
        heads: attention heads.
        dropout: everywhere.
        drawn: negatives of every position.
        t: how far scores are calibrated, see `calibrated`.
        lr: learning rate of Adam.
        max_history: the longest history.
        ks: the cut-offs of the metrics.

    Raises:
        GenrecError: if a number makes no sense.
    """

    def __init__(
        self,
        dim: int = 64,
        blocks: int = 2,
        heads: int = 1,
        dropout: float = 0.5,
        drawn: int = 256,
        t: float = 0.75,
        lr: float = 1e-3,
        max_history: int = 50,
        ks: Sequence[int] = (5, 10),
    ) -> None:
        super().__init__(dim, blocks, heads, dropout, max_history, lr, ks)
        at_least(1, "GSASRec", drawn=drawn)
        if not 0 <= t <= 1:
            raise GenrecError(f"GSASRec's `t` lies between 0 and 1, got {t}")
        self.drawn = drawn
        self.t = t

    def make_network(self, items: int) -> SASRecNetwork:
        """See `ItemSequences.make_network`."""
        return SASRecNetwork(items, self.dim, self.blocks, self.heads, self.dropout, self.max_history)

    def loss_of(self, batch: Batch) -> Tensor:
        """The mean over all positions that have a history."""
        states, following, weight = next_items(self._network(batch.history), batch)
        items = self._network.items
        positive = (states * items(following)).sum(-1)
        count = len(self.dataset.catalog)
        drawn = torch.randint(count, (len(states), self.drawn), device=states.device)
        negative = (items(drawn) @ states[..., None])[..., 0]
        # With a catalogue smaller than what is drawn, items are drawn twice, and none is left out.
        beta = calibrated(self.t, min(1.0, self.drawn / max(1, count - 1)))
        return (gbce(positive, negative, beta) * weight).sum()

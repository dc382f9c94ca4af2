"""GRU4Rec: a recurrent network over a user's items.

Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016, arXiv 1511.06939, with the
losses of Hidasi and Karatzoglou, "Recurrent Neural Networks with Top-k Gains for Session-based Recommendations", CIKM
2018, arXiv 1706.03847; reference implementation github.com/hidasib/GRU4Rec. One table of items is read and compared
with ("constrained embedding"), without a bias per item. Unlike there, a user's whole history is learned from in one
step, not an item at a time; negatives are those of `genrec.losses.Negatives`, and the optimiser is Adam.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.errors import GenrecError, at_least
from genrec.losses import Negatives
from genrec.recommenders.sequences import INIT_STD, ItemNetwork, ItemSequences, next_items
from genrec.types import PAD, Batch


class GRU4RecNetwork(ItemNetwork):
    """The network: an item table and gated recurrent units.

    Args:
        n_items: N.
        dim: d.
        depth: how many units are stacked.
        dropout: of the items' vectors, and between units.
    """

    def __init__(self, n_items: int, dim: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items, dim)
        nn.init.normal_(self.items.weight, std=INIT_STD)
        self.dropout = nn.Dropout(dropout)
        self.units = nn.GRU(dim, dim, depth, batch_first=True, dropout=dropout if depth > 1 else 0.0)

    def forward(self, history: Tensor) -> Tensor:
        """See `ItemNetwork.forward`."""
        real, places = history != PAD, torch.arange(history.shape[1], device=history.device)
        # What comes after the last item changes no state before it, so padding is turned to the right.
        turned = (places - real.sum(1, keepdim=True)) % history.shape[1]
        x = self.dropout(self.items(history.clamp(min=0).gather(1, turned)))
        states, _ = self.units(x * self.items.embedding_dim**0.5)
        back = (places + real.sum(1, keepdim=True)) % history.shape[1]
        return states.gather(1, back[..., None].expand_as(states)) * real[..., None]


def bpr_max(positive: Tensor, negative: Tensor, penalty: float) -> Tensor:
    """BPR-max [R]: the right item is to score more than the best of the others (Eq. 10 of the second paper).

    Args:
        positive: [R], the scores of the right items.
        negative: [R, n], those of the others; minus infinity for one that does not count.
        penalty: what the squares of the others' scores count.
    """
    shares = negative.log_softmax(1)
    counts = shares.isfinite()
    # An infinite score times a share of nothing would be no number, and so would its gradient.
    scores = negative.masked_fill(~counts, 0)
    better = torch.logsumexp(shares + F.logsigmoid(positive[:, None] - scores), 1)
    return penalty * (shares.exp() * scores.square()).sum(1) - better


class GRU4Rec(ItemSequences):
    """GRU4Rec as a recommender; train it with ``SequenceData(samples="users")``.

    Args:
        dim: d.
        depth: how many units are stacked.
        dropout: of the items' vectors, and between units.
        loss: "ce", a softmax over all items or the `negatives`; "bpr_max" compares with `negatives`.
        penalty: what the squares of their scores count in "bpr_max".
        lr: learning rate of Adam.
        max_history: the longest history.
        ks: the cut-offs of the metrics.
        negatives: what an item is told from in training; None is all items, with "ce".

    Raises:
        GenrecError: if there are no negatives where the loss needs them, or a number makes no sense.
    """

    def __init__(
        self,
        dim: int = 64,
        depth: int = 1,
        dropout: float = 0.5,
        loss: Literal["ce", "bpr_max"] = "ce",
        penalty: float = 1.0,
        lr: float = 1e-3,
        max_history: int = 50,
        ks: Sequence[int] = (5, 10),
        negatives: Negatives | None = None,
    ) -> None:
        super().__init__(max_history, lr, ks, negatives)
        at_least(1, "GRU4Rec", dim=dim, depth=depth)
        at_least(0, "GRU4Rec", dropout=dropout, penalty=penalty)
        if loss == "bpr_max" and negatives is None:
            raise GenrecError("GRU4Rec's `loss: bpr_max` compares with drawn items: give `negatives`, or use `ce`")
        self.dim, self.depth, self.dropout = dim, depth, dropout
        self.loss = loss
        self.penalty = penalty
        self.objective = {"ce": self.softmax, "bpr_max": self._bpr_max}[loss]

    def make_network(self, items: int) -> GRU4RecNetwork:
        """See `ItemSequences.make_network`."""
        return GRU4RecNetwork(items, self.dim, self.depth, self.dropout)

    def loss_of(self, batch: Batch) -> Tensor:
        """The mean over all positions that have a history."""
        return self.objective(*next_items(self._network(batch.history), batch))

    def _bpr_max(self, states: Tensor, following: Tensor, weight: Tensor) -> Tensor:
        assert self.sampler is not None, "setup makes it"
        items = self._network.items
        classes, log_counts = self.sampler.draw(following, weight > 0)
        absent = (classes == following[:, None]) | log_counts.isposinf()
        # A position whose own item is all that was drawn is compared with nothing, and teaches nothing.
        alone = absent.all(1)
        scores = (states @ items(classes).T).masked_fill(absent & ~alone[:, None], -torch.inf)
        positive = (states * items(following)).sum(-1)
        return (bpr_max(positive, scores, self.penalty) * weight * ~alone).sum()

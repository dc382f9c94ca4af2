"""HSTU: gated attention over a user's items that adds up, where others take a softmax.

Zhai et al., "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
Recommendations", ICML 2024, arXiv 2402.17152; reference implementation
github.com/meta-recsys/generative-recommenders, `research/modeling/sequential/hstu.py`. Unlike there, the loss is a
softmax over all items by default, states and items are not normalised, and the bias of time compares what is known:
the time of the item that is attended to with that of the last one seen, not with that of the item to be predicted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.errors import GenrecError
from genrec.losses import Negatives
from genrec.recommenders.sequences import INIT_STD, AttentiveSequences, ItemNetwork, next_items, placed
from genrec.types import PAD, Batch

BUCKETS = 128
"""Of distances in time."""
GROWTH = 0.301
"""The logarithm of how many times longer the distances of a bucket are than those of the one before."""


def buckets(times: Tensor) -> Tensor:
    """How far apart in time two items are, in one of `BUCKETS` steps, long [B, T, T]; seconds [B, T]."""
    apart = (times[:, :, None] - times[:, None, :]).abs().clamp(min=1).float()
    return (apart.log() / GROWTH).long().clamp(max=BUCKETS - 1)


class Layer(nn.Module):
    """Eq. 1 to 3: what an item gathers from those before it, normalised, times a gate of its own.

    Args:
        dim: d.
        heads: of attention.
        dropout: of what was gathered.
        max_history: the longest history.
        timed: whether there is a bias of time.
    """

    def __init__(self, dim: int, heads: int, dropout: float, max_history: int, timed: bool) -> None:
        super().__init__()
        self.heads, self.max_history = heads, max_history
        self.norm, self.gathered_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.parts = nn.Linear(dim, 4 * dim, bias=False)
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.distances = nn.Parameter(torch.empty(max_history).normal_(std=INIT_STD))
        self.times = nn.Parameter(torch.empty(BUCKETS).normal_(std=INIT_STD)) if timed else None
        nn.init.normal_(self.parts.weight, std=INIT_STD)

    def forward(self, x: Tensor, seen: Tensor, apart: Tensor | None) -> Tensor:
        """[B, T, d] to [B, T, d].

        Args:
            x: [B, T, d].
            seen: [B, T, T] bool, who attends to whom.
            apart: [B, T, T], their `buckets`.
        """
        gate, value, query, key = F.silu(self.parts(self.norm(x))).chunk(4, -1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value))
        places = torch.arange(x.shape[1], device=x.device)
        bias = self.distances[(places[:, None] - places).clamp(min=0)]
        if self.times is not None:
            bias = bias + self.times[apart]
        # By the longest history there may be, and not the longest of the batch: padding changes nothing.
        weights = F.silu(query @ key.transpose(-1, -2) + bias.unsqueeze(-3)) / self.max_history
        gathered = ((weights * seen[:, None]) @ value).transpose(1, 2).flatten(2)
        return x + self.out(self.dropout(gate * self.gathered_norm(gathered)))


class HSTUNetwork(ItemNetwork):
    """The network: an item table, positions counted back from the most recent item, and `Layer` after `Layer`.

    Args:
        n_items: N.
        dim: d.
        blocks: how many layers.
        heads: of attention.
        dropout: everywhere.
        max_history: T at most.
        timed: whether there is a bias of time.
    """

    def __init__(
        self, n_items: int, dim: int, blocks: int, heads: int, dropout: float, max_history: int, timed: bool
    ) -> None:
        super().__init__()
        self.items, self.positions = nn.Embedding(n_items, dim), nn.Embedding(max_history, dim)
        for table in (self.items, self.positions):
            nn.init.normal_(table.weight, std=INIT_STD)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList([Layer(dim, heads, dropout, max_history, timed) for _ in range(blocks)])

    def forward(self, history: Tensor, times: Tensor | None = None) -> Tensor:
        """See `ItemNetwork.forward`.

        Args:
            history: [B, T].
            times: [B, T], when the items were taken, in seconds, where there is a bias of time.
        """
        real = history != PAD
        x = self.dropout(placed(self.items(history.clamp(min=0)), self.positions)) * real[..., None]
        causal = torch.ones(*history.shape[1:] * 2, dtype=torch.bool, device=history.device).tril()
        apart = None if times is None else buckets(times)
        for layer in self.layers:
            x = layer(x, causal & real[:, None, :], apart) * real[..., None]
        return x


class HSTU(AttentiveSequences):
    """HSTU as a recommender; train it with ``SequenceData(samples="users")``.

    Args:
        dim: d.
        blocks: layers.
        heads: of attention.
        dropout: everywhere.
        times: the name of an extra (``data.extras``) that says when the items of a history were taken, in seconds; None
            is without the bias of time.
        lr: learning rate of Adam.
        max_history: the longest history.
        ks: the cut-offs of the metrics.
        negatives: what an item is told from in training; None is all items.

    Raises:
        GenrecError: if a number makes no sense.
    """

    def __init__(
        self,
        dim: int = 64,
        blocks: int = 2,
        heads: int = 1,
        dropout: float = 0.5,
        times: str | None = None,
        lr: float = 1e-3,
        max_history: int = 50,
        ks: Sequence[int] = (5, 10),
        negatives: Negatives | None = None,
    ) -> None:
        super().__init__(dim, blocks, heads, dropout, max_history, lr, ks, negatives)
        self.times = times
        self._batch: Batch | None = None

    def make_network(self, items: int) -> HSTUNetwork:
        """See `ItemSequences.make_network`."""
        timed = self.times is not None
        return HSTUNetwork(items, self.dim, self.blocks, self.heads, self.dropout, self.max_history, timed)

    def loss_of(self, batch: Batch) -> Tensor:
        """The mean over all positions that have a history."""
        with self.holding(batch):
            states = self._network(batch.history, self._taken(batch.history))
        return self.softmax(*next_items(states, batch))

    @contextmanager
    def holding(self, batch: Batch) -> Iterator[None]:
        """See `Measured.holding`: the times of the histories."""
        self._batch = batch
        try:
            yield
        finally:
            self._batch = None

    def state(self, history: Tensor) -> Tensor:
        """See `ItemSequences.state`."""
        return self._network(history, self._taken(history))[:, -1]

    def _taken(self, history: Tensor) -> Tensor | None:
        """When the items of a history [B, T] were taken, [B, T]."""
        if self.times is None:
            return None
        times = self._batch.extras.items.get(self.times) if self._batch else None
        if times is None:
            raise GenrecError(
                f"HSTU knows no times of these histories: name what says them in `data.extras.{self.times}`; and "
                "histories that are no data set's, such as `recommend` takes, have none"
            )
        return times[:, -history.shape[1] :]

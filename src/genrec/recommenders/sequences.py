"""What recommenders share that know an item by a learned vector alone, and learn which item follows a sequence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from genrec.data.samples import last_positions
from genrec.decoding import top_products
from genrec.devices import shortens
from genrec.errors import GenrecError, at_least
from genrec.identifiers.negatives import NegativeSampler
from genrec.losses import Negatives, linear_cross_entropy, sampled_cross_entropy
from genrec.recommenders.base import RankingModule
from genrec.types import PAD, Batch, Ranking

INIT_STD = 0.02


class ItemNetwork(nn.Module, ABC):
    """From items to states; the score of an item is the inner product of a state and its vector.

    Attributes:
        items: the items' vectors, a table [N, d].
    """

    items: nn.Embedding

    @abstractmethod
    def forward(self, history: Tensor) -> Tensor:
        """States [B, T, d] of histories [B, T], `PAD` on the left; zeros at padding."""

    def last(self, history: Tensor) -> Tensor:
        """What the next item is compared with, [B, d]."""
        last: Tensor = self(history)[:, -1]
        return last


Network = TypeVar("Network", bound=ItemNetwork)


class Positions(NamedTuple):
    """Positions of histories, one after the other.

    Args:
        states: [R, d], what is known there.
        following: [R] long, the item that follows.
        weight: [R] float, what each counts in the mean; 0 for a position before the first item.
    """

    states: Tensor
    following: Tensor
    weight: Tensor


class ItemSequences(RankingModule):
    """A recommender with an `ItemNetwork`; train it with ``SequenceData(samples="users")``.

    A subclass says how the network is made, and what it learns from a batch. Items that are not in the training data
    have vectors that nothing was learned about: they are ranked, as chance will have it.

    Args:
        max_history: the longest history.
        lr: learning rate of Adam.
        ks: the cut-offs of the metrics.
        negatives: what an item is told from in `softmax`; None is all items.

    Attributes:
        network: the network, there from `setup` on.
    """

    def __init__(self, max_history: int, lr: float, ks: Sequence[int], negatives: Negatives | None = None) -> None:
        super().__init__(ks)
        at_least(1, self.method, max_history=max_history)
        at_least(0, self.method, lr=lr)
        self.max_history = max_history
        self.lr = lr
        self.negatives = negatives
        self.sampler: NegativeSampler | None = None
        self.network: ItemNetwork | None = None

    @abstractmethod
    def make_network(self, items: int) -> ItemNetwork:
        """The network of a catalogue of so many items, untrained."""

    @abstractmethod
    def loss_of(self, batch: Batch) -> Tensor:
        """The mean over what is learned from a batch, a scalar."""

    def setup(self, stage: str) -> None:
        """Create the network for the catalogue.

        Raises:
            GenrecError: if the data have samples that it cannot be trained with.
        """
        super().setup(stage)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if stage == "fit" and (data.samples is not last_positions or data.max_history > self.max_history):
            raise GenrecError(
                f"{self.method} learns from `data.samples: users` with a `data.max_history` that is no larger than its "
                f"own `max_history`, {self.max_history}"
            )
        if self.network is None:
            self.network = self.make_network(len(self.dataset.catalog))
        if self.negatives is not None:
            self.sampler = NegativeSampler(self.negatives, torch.from_numpy(self.dataset.frequency)).to(self.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ItemSequences:
        if shortens(fn):
            raise GenrecError(
                f"{self.method} learns in full, and cannot with weights of 16 bits: use `trainer.precision: 32-true`"
            )
        super()._apply(fn, recurse)
        return self

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """`loss_of`, as a part of the step's mean over its targets."""
        loss = self.loss_of(batch)
        self.log("train/loss", loss.detach(), prog_bar=True)
        return self.share_of_step(batch) * loss

    def softmax(self, states: Tensor, following: Tensor, weight: Tensor) -> Tensor:
        """The weighted sum of the cross-entropies over all items, or those that are drawn; see `Positions`."""
        items = self._network.items.weight
        if self.training and self.sampler is not None:
            drawn = self.sampler.draw(following, weight > 0)
            return sampled_cross_entropy(states, items, following, weight.to(states), drawn)
        return linear_cross_entropy(states, items, following, weight.to(states))

    @property
    def _network(self) -> ItemNetwork:
        assert self.network is not None, "setup creates the network"
        return self.network

    def state(self, history: Tensor) -> Tensor:
        """What the next item is compared with, [B, d]."""
        return self._network.last(history)

    def rank(self, history: Tensor, k: int, allowed: Tensor) -> Ranking:
        """See `RankingModule.rank`; a score is the inner product of the last state and an item's vector."""
        return top_products(self.state(history[:, -self.max_history :]), self._network.items.weight, allowed, k)

    def configure_optimizers(self) -> Any:
        """Adam, betas as in SASRec's original."""
        return torch.optim.Adam(self.parameters(), lr=self.lr, betas=(0.9, 0.98))


class AttentiveSequences(ItemSequences):
    """An `ItemSequences` whose network is blocks of attention.

    Args:
        dim: d.
        blocks: of attention.
        heads: attention heads, which share the width equally.
        dropout: everywhere.
        max_history: see `ItemSequences`.
        lr: see `ItemSequences`.
        ks: see `ItemSequences`.
        negatives: see `ItemSequences`.

    Raises:
        GenrecError: if a number makes no sense.
    """

    def __init__(
        self,
        dim: int,
        blocks: int,
        heads: int,
        dropout: float,
        max_history: int,
        lr: float,
        ks: Sequence[int],
        negatives: Negatives | None = None,
    ) -> None:
        super().__init__(max_history, lr, ks, negatives)
        at_least(1, self.method, dim=dim, blocks=blocks, heads=heads)
        at_least(0, self.method, dropout=dropout)
        if dim % heads:
            raise GenrecError(
                f"{self.method}: {heads} heads cannot share a width of {dim} equally: give a `dim` they divide"
            )
        self.dim, self.blocks, self.heads, self.dropout = dim, blocks, heads, dropout


def next_items(states: Tensor, batch: Batch) -> Positions:
    """Every position of the histories predicts the item after it; the last one predicts the target.

    Args:
        states: [B, T, d], of which none knows what comes after it.
        batch: whose they are.
    """
    following = torch.cat([batch.history[:, 1:], batch.target[:, None]], 1)
    # A slot before the first item would predict it from nothing.
    real = (batch.history != PAD).flatten()
    return Positions(states.flatten(0, 1), following.flatten().clamp(min=0), real / real.sum().clamp(min=1))


def placed(vectors: Tensor, positions: nn.Embedding) -> Tensor:
    """Items' vectors, and those of their places, counted back from the most recent item, [B, T, d].

    Args:
        vectors: [B, T, d].
        positions: the places' vectors; the most recent item is always in the last place, however short the history.
    """
    slots = torch.arange(-vectors.shape[1], 0, device=vectors.device) + positions.num_embeddings
    return vectors * positions.embedding_dim**0.5 + positions(slots)

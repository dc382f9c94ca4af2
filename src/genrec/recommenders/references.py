"""Rows of the result tables that need no language model and no training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import scipy
import torch
from torch import Tensor

from genrec.data import Dataset, Ragged
from genrec.decoding.grounding import items_at_once, top_k, top_k_in_parts
from genrec.errors import GenrecError
from genrec.identifiers.tables import Tables, table
from genrec.recommenders.base import RankingModule
from genrec.types import PAD, Ranking


class _OneList(Tables, RankingModule):
    """The same list for everybody.

    Args:
        ks: the cut-offs of the metrics.
        seed: items that nothing else orders are ordered at random; this decides how.
    """

    learns = False

    def __init__(self, ks: Sequence[int] = (5, 10), seed: int = 0) -> None:
        super().__init__(ks)
        self.seed = seed

    @abstractmethod
    def score(self, dataset: Dataset) -> Tensor:
        """The items' scores [N], without the random part, which is in [0, 1)."""

    def setup(self, stage: str) -> None:
        """Score the items."""
        super().setup(stage)
        self.scores = table(self.score(self.dataset) + random_order(len(self.dataset.catalog), self.seed))

    def rank(self, history: Tensor, k: int, allowed: Tensor) -> Ranking:
        """See `RankingModule.rank`."""
        ranking = top_k(self.scores[None], allowed, k)
        return Ranking(*(part.expand(-1, len(history), -1) for part in ranking))


class Popularity(_OneList):
    """Items by how often they occur in training; those of equal frequency, all cold ones among them, at random.

    Args:
        ks: the cut-offs of the metrics.
        seed: decides the random order.
    """

    def score(self, dataset: Dataset) -> Tensor:
        """Count the training split."""
        return torch.from_numpy(dataset.frequency).float()


class Random(_OneList):
    """One random order of the items: the floor, and what a method without any knowledge amounts to.

    Args:
        ks: the cut-offs of the metrics.
        seed: draws the order.
    """

    def score(self, dataset: Dataset) -> Tensor:
        """Nothing is known."""
        return torch.zeros(len(dataset.catalog))


class ItemKNN(Tables, RankingModule):
    """Items that occurred near the user's last items in the timelines of the training split.

    The similarity of two items is the cosine ``c_ij / sqrt(n_i n_j)``: c_ij counts how often they lie at most `window`
    places apart in a user's training list, n_i how often item i occurs. A user's score of an item is the sum of its
    similarities to his last items, the most recent with weight 1, the one before with `decay`, then decay squared ...

    Args:
        window: how far apart two items of a list may be.
        last: how many of a user's last items count.
        decay: the weight of an item relative to that of the one after it.
        ks: the cut-offs of the metrics.
        seed: items of equal score, all those without any similarity among them, are ordered at random; this decides
            how.

    Raises:
        GenrecError: if a number makes no sense.
    """

    learns = False

    def __init__(
        self, window: int = 5, last: int = 10, decay: float = 0.8, ks: Sequence[int] = (5, 10), seed: int = 0
    ) -> None:
        super().__init__(ks)
        if window < 1 or last < 1 or not 0 < decay <= 1:
            raise GenrecError(
                f"ItemKNN needs window and last of at least 1 and a decay in (0, 1], got {window}, {last}, {decay}"
            )
        self.window = window
        self.last = last
        self.decay = decay
        self.seed = seed

    def setup(self, stage: str) -> None:
        """Count the training split."""
        super().setup(stage)
        counted = similarities(self.dataset.train, len(self.dataset.catalog), self.window)
        # All that is kept of the users: the arrays of a sparse matrix.
        self.rows = table(torch.from_numpy(counted.indptr), saved=True)
        self.columns = table(torch.from_numpy(counted.indices), saved=True)
        self.values = table(torch.from_numpy(counted.data), saved=True)
        self.ties = table(1e-6 * random_order(len(self.dataset.catalog), self.seed))

    @property
    def similarity(self) -> scipy.sparse.csr_array:
        """The similarities [N, N]."""
        arrays = (part.cpu().numpy() for part in (self.values, self.columns, self.rows))
        return scipy.sparse.csr_array(tuple(arrays), shape=(len(self.ties), len(self.ties)))

    def rank(self, history: Tensor, k: int, allowed: Tensor) -> Ranking:
        """See `RankingModule.rank`."""
        recent = history[:, -self.last :].cpu().numpy()
        users, places = np.nonzero(recent != PAD)
        weights = self.decay ** (recent.shape[1] - 1 - places)
        taken = scipy.sparse.csr_array((weights, (users, recent[users, places])), shape=(len(recent), len(self.ties)))
        near = (taken @ self.similarity).tocsc()

        def scores(start: int, stop: int) -> Tensor:
            part = near[:, start:stop].toarray().astype(np.float32)
            return torch.from_numpy(part).to(self.ties) + self.ties[start:stop]

        return top_k_in_parts(scores, items_at_once(history, len(self.ties)), allowed, k)


def similarities(lists: Ragged, items: int, window: int) -> scipy.sparse.csr_array:
    """Cosine similarities [items, items] of items that lie at most ``window`` places apart; none of an item to itself.

    Args:
        lists: the users' items in order.
        items: N.
        window: places.
    """
    counts = scipy.sparse.csr_array((items, items), dtype=np.float64)
    values, rows = lists.values, lists.rows
    for distance in range(1, window + 1):
        together = rows[distance:] == rows[:-distance]
        left, right = values[:-distance][together], values[distance:][together]
        counts += scipy.sparse.csr_array((np.ones(len(left)), (left, right)), shape=(items, items))
    counts = scipy.sparse.coo_array(counts + counts.T)
    counts.setdiag(0)
    occurs = np.maximum(np.bincount(values, minlength=items), 1)
    scaled = counts.data / np.sqrt(occurs[counts.row] * occurs[counts.col])
    return scipy.sparse.csr_array((scaled, (counts.row, counts.col)), shape=(items, items))


def random_order(items: int, seed: int) -> Tensor:
    """A number in [0, 1) for every item."""
    return torch.rand(items, generator=torch.Generator().manual_seed(seed))

"""Which samples share a batch, and which process takes it. Each draws index arrays, one per batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

CHUNK = 64
"""Batches that are shuffled together before their samples are sorted by length."""


class Share(NamedTuple):
    """One of several processes that work on the same samples.

    Args:
        rank: which one.
        world: of how many.
    """

    rank: int = 0
    world: int = 1


class ShuffledByLength(Sampler[np.ndarray]):
    """Random batches of samples of about the same length, so that little of a batch is padding.

    All samples are shuffled and cut into chunks of `CHUNK` batches; a chunk is sorted by length and cut into batches;
    the batches are shuffled. The order is a function of seed and epoch alone, so a resumed run continues as it would
    have. Several processes share every batch: P processes with batches of B train as one with batches of P * B. A last
    batch of fewer than P samples repeats some, so that each process has one.

    Args:
        lengths: int64 [samples].
        batch_size: samples of a batch, per process.
        seed: decides the order.
        share: the process that this is.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, share: Share = Share()) -> None:  # noqa: B008
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.share = share
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; Lightning calls it before every epoch."""
        self.epoch = epoch

    @property
    def _together(self) -> int:
        """Samples of a batch of all processes."""
        return self.batch_size * self.share.world

    def __len__(self) -> int:
        return -(-len(self.lengths) // self._together)

    def __iter__(self) -> Iterator[np.ndarray]:
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(len(self.lengths))
        # A stable sort by length within chunks: samples of equal length stay shuffled.
        chunk = np.arange(len(order)) // (CHUNK * self._together)
        order = order[np.lexsort((self.lengths[order], chunk))]
        for batch in rng.permutation(len(self)):
            rows = order[batch * self._together : (batch + 1) * self._together]
            yield np.resize(rows, max(len(rows), self.share.world))[self.share.rank :: self.share.world]


class LongestFirst(Sampler[np.ndarray]):
    """Every sample exactly once, over all processes together, the longest first.

    Samples of a batch are of about the same length; if the longest do not fit into memory, the first batch says so.

    Args:
        lengths: int64 [samples].
        batch_size: samples of a batch, per process.
        share: the process that this is.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, share: Share = Share()) -> None:  # noqa: B008
        self.rows = np.argsort(-lengths, kind="stable")[share.rank :: share.world]
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.rows[start : start + self.batch_size] for start in range(0, len(self.rows), self.batch_size))

"""Which samples share a batch, and which process takes it. Each draws the rows of one batch after another.

They are distributed samplers, which Lightning leaves alone: it would share out a share once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data.distributed import DistributedSampler

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


class Draw(NamedTuple):
    """A batch: the rows of its samples, and how many examples it and its step have (`genrec.types.Batch`)."""

    rows: np.ndarray
    examples: int = 0
    step_examples: int = 0


class Geometry(NamedTuple):
    """What cuts an epoch into batches.

    Args:
        batch_size: samples of a batch on average, per process.
        world: processes.
        accumulation: batches of a step, per process.
        seed: decides the order.
    """

    batch_size: int
    world: int = 1
    accumulation: int = 1
    seed: int = 0


class Leg(NamedTuple):
    """A part of an epoch that was learned: so many batches, of those that a geometry makes of what was left then."""

    geometry: Geometry
    batches: int


class BalancedByLength(DistributedSampler[Draw]):
    """Random batches of samples of about the same length, so that little is padding, and of about equally many targets.

    All samples are shuffled and cut into chunks of `CHUNK` batches; a chunk is sorted by length and cut where its
    targets are divided evenly; the batches are shuffled. So no target weighs more than another because of the company
    that its length brings it into: where a sample is all prefixes of a user, a batch holds many short users or a few
    long ones. Every sample is drawn once; P processes with batches of B train as one with batches of P * B. The number
    of batches is a multiple of those that a step accumulates, where there are samples enough.

    The order is a function of epoch and geometry alone, so a resumed run continues as it would have; under another
    geometry, it makes batches of the samples that are left.

    Args:
        lengths: int64 [samples].
        targets: int64 [samples], how many targets each has, at least 1.
        geometry: how the epoch is cut.
        rank: the process that this is.
    """

    def __init__(self, lengths: np.ndarray, targets: np.ndarray, geometry: Geometry, rank: int = 0) -> None:
        super().__init__(range(len(lengths)), geometry.world, rank)  # type: ignore[arg-type]
        self.lengths = lengths
        self.targets = targets
        self.geometry = geometry
        self._resumed: tuple[int, Sequence[Leg]] = (0, ())

    def set_epoch(self, epoch: int) -> None:
        """Choose the order; Lightning calls it before every epoch."""
        self.epoch = epoch

    def resume(self, epoch: int, legs: Sequence[Leg]) -> int:
        """Leave out of an epoch, when it is drawn next, what was learned of it; other epochs are whole.

        Args:
            epoch: which.
            legs: one after another.

        Returns:
            the batch that it goes on with, as if all before it had been cut as those that are left are.
        """
        self.epoch, self._resumed = epoch, (epoch, legs)
        return len(self) - len(self._left(legs))

    def __len__(self) -> int:
        return _batches(len(self.lengths), self.geometry)

    def __iter__(self) -> Iterator[Draw]:
        epoch, legs = self._resumed
        self._resumed = (0, ())
        batches = self._left(legs if epoch == self.epoch else ())
        # Lightning's steps end where the number of the batch says so.
        size, first = self.geometry.accumulation, len(self) - len(batches)
        for start in range(first - first % size, len(self), size):
            step = batches[max(start - first, 0) : start - first + size]
            total = sum(int(self.targets[rows].sum()) for rows in step)
            for rows in step:
                mine = rows[self.rank :: self.geometry.world]
                # A process that gets nothing keeps in step with the others; what it learns weighs nothing.
                yield Draw(mine if len(mine) else rows[:1], int(self.targets[mine].sum()), total)

    def _left(self, legs: Sequence[Leg]) -> list[np.ndarray]:
        """The batches of all processes together that are left of an epoch, in their order."""
        geometry, batches = None, [np.arange(len(self.lengths))]
        for leg in legs:
            geometry, batches = leg.geometry, self._cut(batches, leg.geometry)[leg.batches :]
        return batches if geometry == self.geometry else self._cut(batches, self.geometry)

    def _cut(self, samples: list[np.ndarray], geometry: Geometry) -> list[np.ndarray]:
        """Other batches of the samples of some."""
        if not samples:
            return []
        rows = np.sort(np.concatenate(samples))
        rng = np.random.default_rng((geometry.seed, self.epoch))
        order = rows[rng.permutation(len(rows))]
        number = _batches(len(rows), geometry)
        least = min(geometry.world, len(rows) // max(1, number))
        chunks = np.diff(np.linspace(0, number, -(-number // CHUNK) + 1).astype(int))
        batches: list[np.ndarray] = []
        for chunk, count in zip(_divided(order, self.targets, chunks, least), chunks, strict=True):
            # A stable sort by length: samples of equal length stay shuffled.
            chunk = chunk[np.argsort(self.lengths[chunk], kind="stable")]
            batches += _divided(chunk, self.targets, np.ones(count, int), least)
        return [batches[place] for place in rng.permutation(number)]


def _batches(samples: int, geometry: Geometry) -> int:
    """How many batches so many samples make: whole steps, where there are samples enough."""
    steps = -(-samples // (geometry.batch_size * geometry.world * geometry.accumulation))
    return min(steps * geometry.accumulation, samples)


def _divided(rows: np.ndarray, targets: np.ndarray, parts: np.ndarray, least: int) -> list[np.ndarray]:
    """Samples cut, as they stand, into parts with numbers of targets in the ratio of ``parts``.

    Args:
        rows: int64 [samples].
        targets: int64 [all samples].
        parts: int64 [n], how many batches each part is to become.
        least: samples that every batch must have.
    """
    ends = np.cumsum(parts)[:-1]
    after = np.cumsum(targets[rows])
    # A sample goes to the part that its middle lies in.
    cuts = np.searchsorted(after - targets[rows] / 2, ends * (after[-1] / parts.sum()))
    cuts = np.minimum(np.maximum.accumulate(cuts - least * ends), len(rows) - least * parts.sum()) + least * ends
    return np.split(rows, cuts)


class LongestFirst(DistributedSampler[Draw]):
    """Every sample exactly once, over all processes together, the longest first.

    Samples of a batch are of about the same length; if the longest do not fit into memory, the first batch says so.
    Where a trainer looks at the first batches alone, they hold samples drawn at random: of those, the longest first.
    Every process draws as many batches, because those of a model that is shared out must take every step together: one
    that has run out of samples draws the first of all, as a batch of no examples.

    Args:
        lengths: int64 [samples].
        batch_size: samples of a batch, per process.
        share: the process that this is.
        limit: the batches that are looked at, or which part of them; a trainer's ``limit_val_batches``.
        seed: decides which samples these hold.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        share: Share = Share(),  # noqa: B008
        limit: int | float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(range(len(lengths)), share.world, share.rank)  # type: ignore[arg-type]
        batches = -(-len(lengths) // (batch_size * share.world))
        first = min(limit, batches) if isinstance(limit, int) else int(limit * batches)
        drawn = np.random.default_rng(seed).permutation(len(lengths))
        parts = np.split(drawn, [min(first * batch_size * share.world, len(drawn))])
        self.order = np.concatenate([_longest_first(part, lengths) for part in parts])
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.order) // (self.num_replicas * self.batch_size))

    def __iter__(self) -> Iterator[Draw]:
        mine = self.order[self.rank :: self.num_replicas]
        for batch in range(len(self)):
            rows = mine[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield Draw(rows if len(rows) else self.order[:1], len(rows))


def _longest_first(rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    rows = np.sort(rows)
    return rows[np.argsort(-lengths[rows], kind="stable")]

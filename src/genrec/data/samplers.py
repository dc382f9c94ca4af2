"""Which samples share a batch, and which process takes it. Each draws the rows of one batch after another.

They are distributed samplers, which Lightning leaves alone: it would share out a share once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from torch.utils.data.distributed import DistributedSampler

from genrec.data.cutting import Cut, Geometry, Leg, Rest, Sized, batches_of
from genrec.data.permutation import Permutation

BLOCK = 1_000_000
"""Samples whose lengths are computed together, where those of all are wanted."""


class Share(NamedTuple):
    """One of several processes that work on the same samples.

    Args:
        rank: which one.
        world: of how many.
    """

    rank: int = 0
    world: int = 1


class Draw(NamedTuple):
    """A batch of an epoch: the rows of its samples, and how many examples it and its step have (see `Batch`)."""

    rows: np.ndarray
    examples: int = 0
    step_examples: int = 0
    epoch: int = 0


class BalancedByLength(DistributedSampler[Draw]):
    """Random batches of samples of about the same length, so that little is padding, and of about equally many targets.

    All samples are shuffled and cut into chunks of `CHUNK` batches; a chunk is sorted by length and cut where its
    targets are divided evenly; its batches are shuffled. So no target weighs more than another because of the company
    that its length brings it into: where a sample is all prefixes of a user, a batch holds many short users or a few
    long ones. Every sample is drawn once; P processes with batches of B train as one with batches of P * B. The number
    of batches is a multiple of those that a step accumulates, where there are samples enough.

    A chunk is made when it is needed, whichever it is: an epoch begins, or goes on anywhere, at once, and nothing is as
    long as there are samples. The order is a function of epoch and geometry alone, so a resumed run continues as it
    would have; under another geometry, it makes batches of the samples that are left.

    Args:
        samples: each has at least 1 target.
        geometry: how the epoch is cut.
        rank: the process that this is.
    """

    def __init__(self, samples: Sized, geometry: Geometry, rank: int = 0) -> None:
        super().__init__(range(len(samples)), geometry.world, rank)  # type: ignore[arg-type]
        self.samples = samples
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
        cut, done = self._left(legs)
        return len(self) - (cut.batches - done)

    def __len__(self) -> int:
        return batches_of(len(self.samples), self.geometry)

    def __iter__(self) -> Iterator[Draw]:
        epoch, legs = self._resumed
        self._resumed = (0, ())
        cut, done = self._left(legs if epoch == self.epoch else ())
        batches, size = cut.after(done), self.geometry.accumulation
        # Lightning's steps end where the number of the batch says so.
        room = size - (len(self) - (cut.batches - done)) % size
        while step := list(islice(batches, room)):
            total, room = sum(int(batch.targets.sum()) for batch in step), size
            for rows, targets in step:
                mine = slice(self.rank, None, self.geometry.world)
                # A process that gets nothing keeps in step with the others; what it learns weighs nothing.
                own = rows[mine] if len(rows) > self.rank else rows[:1]
                yield Draw(own, int(targets[mine].sum()), total, self.epoch)

    def _left(self, legs: Sequence[Leg]) -> tuple[Cut, int]:
        """How the samples that are left of an epoch are cut, and how many of its batches are done."""
        seed = legs[0].geometry.seed if legs else self.geometry.seed
        rest = Rest(np.empty(0, np.int64), Permutation(len(self.samples), (seed, self.epoch)), 0)
        for place, leg in enumerate(legs):
            cut = Cut(rest, self.samples, leg.geometry, self.epoch)
            if place == len(legs) - 1 and leg.geometry == self.geometry:
                return cut, min(leg.batches, cut.batches)
            rest = cut.left(leg.batches)
        return Cut(rest, self.samples, self.geometry, self.epoch), 0


class LongestFirst(DistributedSampler[Draw]):
    """Every sample exactly once, over all processes together, the longest first.

    Samples of a batch are of about the same length; if the longest do not fit into memory, the first batch says so.
    Where a trainer looks at the first batches alone, they hold samples drawn at random: of those, the longest first.
    Every process draws as many batches, because those of a model that is shared out must take every step together: one
    that has run out of samples draws the first of all, as a batch of no examples.

    Args:
        samples: whatever they are.
        batch_size: samples of a batch, per process.
        share: the process that this is.
        limit: the batches that are looked at, or which part of them; a trainer's ``limit_val_batches``.
        seed: decides which samples these hold.
    """

    def __init__(
        self,
        samples: Sized,
        batch_size: int,
        share: Share = Share(),  # noqa: B008
        limit: int | float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(range(len(samples)), share.world, share.rank)  # type: ignore[arg-type]
        count = len(samples)
        batches = -(-count // (batch_size * share.world))
        looked_at = min(limit, batches) if isinstance(limit, int) else int(limit * batches)
        looked_at = min(looked_at * batch_size * share.world, count)
        behind = np.full(count, looked_at < count)
        if looked_at < count:
            behind[Permutation(count, (seed,))(np.arange(looked_at))] = False
        # Longer ones before shorter ones: numbers of 16 bits are counted, where larger ones would be compared.
        lengths = _lengths(samples)
        longest = lengths.max(initial=0)
        order = np.argsort(longest - lengths + behind * (longest + 1), kind="stable")
        self.order = order.astype(np.min_scalar_type(count))
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.order) // (self.num_replicas * self.batch_size))

    def __iter__(self) -> Iterator[Draw]:
        step = self.batch_size * self.num_replicas
        for first in range(0, len(self.order), step):
            rows = self.order[first + self.rank : first + step : self.num_replicas].astype(np.int64)
            yield Draw(rows if len(rows) else self.order[:1].astype(np.int64), len(rows))


def _lengths(samples: Sized) -> np.ndarray:
    """Of all samples, in as few bits as hold twice as much."""
    found = [np.empty(0, np.uint8)]
    for first in range(0, len(samples), BLOCK):
        lengths, _ = samples.sizes(np.arange(first, min(first + BLOCK, len(samples))))
        found.append(lengths.astype(np.min_scalar_type(2 * lengths.max() + 1)))
    return np.concatenate(found)

"""How an epoch is cut into batches, any of which can be made without those before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from genrec.data.permutation import Permutation

CHUNK = 64
"""Batches that are shuffled together after their samples were sorted by length."""


class Sized(Protocol):
    """Samples that tell how large they are."""

    def __len__(self) -> int:
        """How many there are."""

    def sizes(self, rows: np.ndarray, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Of an epoch's samples [B], int64 [B] each: how long they are, and how many targets they have."""


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


@dataclass(frozen=True, eq=False)
class Rest:
    """Samples, in the order in which they are dealt out.

    Args:
        loose: int64 [n], the rows of the first.
        order: an order of all samples.
        start: the place of it from which on the others follow.
    """

    loose: np.ndarray
    order: Permutation
    start: int

    def __len__(self) -> int:
        return len(self.loose) + self.order.size - self.start

    def rows(self, first: int, last: int) -> np.ndarray:
        """Those from the ``first`` to before the ``last``."""
        moved = self.start - len(self.loose)
        places = np.arange(max(first + moved, self.start), max(last + moved, self.start))
        return np.concatenate([self.loose[first:last], self.order(places)])

    def after(self, first: int, loose: np.ndarray) -> Rest:
        """Those from the ``first`` on, behind some rows."""
        taken = max(0, first - len(self.loose))
        return Rest(np.concatenate([loose, self.loose[first:]]), self.order, self.start + taken)


class Rows(NamedTuple):
    """A batch of all processes together: int64 [B] each, its samples and how many targets each has."""

    rows: np.ndarray
    targets: np.ndarray


class Cut:
    """The batches that a geometry makes of samples: those of a chunk together, and no chunk needs another.

    Args:
        rest: the samples.
        samples: tells their sizes.
        geometry: how they are cut.
        epoch: decides the order, too.

    Attributes:
        batches: how many there are.
        chunks: how many there are, of `CHUNK` batches or somewhat fewer.
    """

    def __init__(self, rest: Rest, samples: Sized, geometry: Geometry, epoch: int) -> None:
        self.batches = batches_of(len(rest), geometry)
        self.chunks = -(-self.batches // CHUNK)
        self.rest = rest
        self.samples = samples
        self.geometry = geometry
        self.epoch = epoch

    def after(self, done: int) -> Iterator[Rows]:
        """The batches that follow so many."""
        if done < self.batches:
            chunk = self._chunk_of(done)
            yield from self._made(chunk)[done - self._begin(chunk) :]
            for following in range(chunk + 1, self.chunks):
                yield from self._made(following)

    def left(self, done: int) -> Rest:
        """The samples of the batches that follow so many: those of the chunk that is broken into, then the others."""
        if done >= self.batches:
            return self.rest.after(len(self.rest), np.empty(0, np.int64))
        chunk = self._chunk_of(done)
        loose = np.concatenate([batch.rows for batch in self._made(chunk)[done - self._begin(chunk) :]])
        return self.rest.after(self._samples_before(chunk + 1), self._random(chunk).permutation(loose))

    def _begin(self, chunk: int) -> int:
        """The batch that it begins with."""
        return chunk * self.batches // self.chunks

    def _chunk_of(self, batch: int) -> int:
        """The last chunk that does not begin behind it."""
        return ((batch + 1) * self.chunks - 1) // self.batches

    def _samples_before(self, chunk: int) -> int:
        return len(self.rest) * self._begin(chunk) // self.batches

    def _random(self, chunk: int) -> np.random.Generator:
        return np.random.default_rng((self.geometry.seed, self.epoch, chunk))

    def _made(self, chunk: int) -> list[Rows]:
        rows = self.rest.rows(self._samples_before(chunk), self._samples_before(chunk + 1))
        lengths, targets = self.samples.sizes(rows, self.epoch)
        # A stable sort by length: samples of equal length stay shuffled.
        order = np.argsort(lengths, kind="stable")
        number = self._begin(chunk + 1) - self._begin(chunk)
        least = min(self.geometry.world, len(self.rest) // self.batches)
        cuts = _cuts(targets[order], number, least)
        batches = list(map(Rows, np.split(rows[order], cuts), np.split(targets[order], cuts)))
        return [batches[place] for place in self._random(chunk).permutation(number)]


def batches_of(samples: int, geometry: Geometry) -> int:
    """How many batches so many samples make: whole steps, where there are samples enough."""
    steps = -(-samples // (geometry.batch_size * geometry.world * geometry.accumulation))
    return min(steps * geometry.accumulation, samples)


def _cuts(targets: np.ndarray, parts: int, least: int) -> np.ndarray:
    """Where samples are cut, as they stand, into parts with equally many targets.

    Args:
        targets: int64 [samples].
        parts: how many.
        least: samples that every part must have.
    """
    ends = np.arange(1, parts)
    after = np.cumsum(targets)
    # A sample goes to the part that its middle lies in.
    cuts = np.searchsorted(after - targets / 2, ends * (after[-1] / parts))
    return np.minimum(np.maximum.accumulate(cuts - least * ends), len(targets) - least * parts) + least * ends

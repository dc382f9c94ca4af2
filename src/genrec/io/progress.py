"""How far something long has come, in lines that a log file keeps as well as a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

MANY = 2_000
"""Texts up to which nothing is said: so few are encoded again and again, a batch of answers at a time."""
SILENCE = 5.0
"""Seconds that pass before another line is worth reading."""


class Progress:
    """Says about every 10 % how many of many texts are encoded.

    The lines read ``encoded 1,200 of 11,908 texts, 35 s``. There is none when all are done: whoever waits for them is
    told what comes next.

    Args:
        total: how many there are.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self._start = self._told = time.monotonic()
        self._due = total / 10

    def add(self, count: int) -> None:
        """Count texts that have been encoded."""
        self.done, now = self.done + count, time.monotonic()
        if MANY < self.total > self.done >= self._due and now - self._told >= SILENCE:
            print(f"encoded {self.done:,} of {self.total:,} texts, {now - self._start:.0f} s", flush=True)
            self._told, self._due = now, self.done + self.total / 10


def in_parts(texts: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The parts of a sequence; of many texts it says how many the caller has encoded (`Progress`).

    Args:
        texts: the texts, or what stands for them.
        size: of a part; the last may be smaller.
    """
    progress = Progress(len(texts))
    for first in range(0, len(texts), size):
        part = texts[first : first + size]
        yield part
        progress.add(len(part))

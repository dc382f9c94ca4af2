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


def in_parts(texts: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The parts of a sequence; of many texts it prints about every 10 % how many the caller has encoded.

    The lines read ``encoded 1,200 of 11,908 texts, 35 s``. There is none for the last part: whoever waits for it is
    told what comes next.

    Args:
        texts: the texts, or what stands for them.
        size: of a part; the last may be smaller.
    """
    start = told = time.monotonic()
    step = due = len(texts) / 10
    for first in range(0, len(texts), size):
        part = texts[first : first + size]
        yield part
        done, now = first + len(part), time.monotonic()
        if MANY < len(texts) > done >= due and now - told >= SILENCE:
            print(f"encoded {done:,} of {len(texts):,} texts, {now - start:.0f} s", flush=True)
            told, due = now, done + step

"""Numbers that stand for keys: the same in every process, on every machine, and of every version of the libraries."""

from __future__ import annotations

import numpy as np
import polars as pl

from genrec.data.texts import Texts

WORD = 8
"""Bytes of a key that are looked at together."""
SLICE = 1 << 18
"""Keys that are looked at together."""


def numbers(keys: Texts) -> np.ndarray:
    """A number for every key, uint64, of all its bytes.

    Two keys have the same number once in 2 ** 64 pairs: it shows that keys changed, and finds none.
    """
    parts = [_numbers(keys.column.slice(start, SLICE)) for start in range(0, len(keys), SLICE)]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def _numbers(keys: pl.Series) -> np.ndarray:
    lengths = keys.str.len_bytes().to_numpy().astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    # Zeros behind the last key, so that there is a whole word wherever one begins.
    letters = np.frombuffer(keys.str.join("").item().encode() + bytes(WORD), np.uint8)
    found = mixed(lengths.astype(np.uint64))
    for place in range(0, int(lengths.max(initial=0)), WORD):
        there = np.flatnonzero(lengths > place)
        word = letters[(starts[there] + place)[:, None] + np.arange(WORD)].astype(np.uint64)
        word[np.arange(WORD) >= (lengths[there] - place)[:, None]] = 0
        word <<= np.arange(0, 8 * WORD, 8, dtype=np.uint64)
        found[there] = mixed(found[there] ^ word.sum(1, dtype=np.uint64))
    return found


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Other numbers, each for one, that show nothing of the order of the first (the finaliser of splitmix64)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(31))

"""An order of very many numbers that is not listed anywhere: each place is computed by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from genrec.data.numbers import mixed

ROUNDS = 16
"""How often a digit is moved: four turns are enough for large numbers, so many for the orders of five or six to come up
equally often."""


class Permutation:
    """The numbers ``0 .. size - 1``, each once, in an order that a key decides.

    A number is two digits, ``left * base + right``; the base is about the root of their size. By turns each digit is
    moved around its circle by a hash of the other. That could be undone, so no two numbers become one: a Feistel
    network, on any number of numbers (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002). The few
    pairs of digits that are no number are moved again until they are one ("cycle walking", in the same paper).

    Args:
        size: how many numbers.
        key: whole numbers that decide the order, 0 or more.
    """

    def __init__(self, size: int, key: Sequence[int]) -> None:
        self.size = size
        base = math.isqrt(max(size - 1, 0)) + 1
        self._base, self._lefts = np.uint64(base), np.uint64(-(-size // base))
        self._keys = np.random.SeedSequence(key).generate_state(ROUNDS, np.uint64)

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """The numbers, int64, that stand at places of the order, int64."""
        found = self._moved(places.astype(np.uint64))
        outside = np.flatnonzero(found >= self.size)
        while len(outside):
            found[outside] = self._moved(found[outside])
            outside = outside[found[outside] >= self.size]
        return found.astype(np.int64)

    def _moved(self, numbers: np.ndarray) -> np.ndarray:
        left, right = np.divmod(numbers, self._base)
        for turn, key in enumerate(self._keys):
            if turn % 2:
                right = (right + _hash(left + key)) % self._base
            else:
                left = (left + _hash(right + key)) % self._lefts
        return left * self._base + right


def _hash(numbers: np.ndarray) -> np.ndarray:
    """Half of the bits, so that a digit has room beside them."""
    return mixed(numbers) >> np.uint64(32)

"""Numbers and codes as tokens: what the token-sequence identifiers share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from genrec.identifiers import NewToken
from genrec.identifiers.names import ItemNames


def digits(number: int, base: int, width: int = 1) -> list[int]:
    """The digits of a number from 0 on, the highest first, and at least ``width`` of them.

    Different numbers have different digits, whatever widths they are written with.
    """
    found: list[int] = []
    while number or len(found) < width:
        number, digit = divmod(number, base)
        found.insert(0, digit)
    return found


def width_for(count: int, base: int) -> int:
    """How many digits tell ``count`` numbers apart."""
    return len(digits(count - 1, base))


def code_tokens(sizes: Sequence[int]) -> list[NewToken]:
    """A token for every code of every level, level after level: ``<a_0> <a_1> .. <b_0> ..``."""
    return [NewToken(f"<{chr(ord('a') + level)}_{code}>") for level, size in enumerate(sizes) for code in range(size)]


def grid_codes(names: ItemNames, sizes: Sequence[int]) -> Tensor:
    """What items are called by the tokens of `code_tokens`, as codes: long [N, L], each from 0 on."""
    first = torch.tensor([0, *sizes[:-1]], device=names.codes.device).cumsum(0)
    return names.codes - names.words - first


def number_equals(codes: np.ndarray) -> np.ndarray:
    """The number 0, 1, 2 .. of every row of [N, L] among the equal ones, in row order: int64 [N].

    Rows that come later change none of the numbers before them.
    """
    order = np.lexsort(codes.T)
    opens = np.ones(len(codes), bool)
    opens[1:] = (codes[order][1:] != codes[order][:-1]).any(1)
    start = np.maximum.accumulate(np.where(opens, np.arange(len(codes)), 0))
    numbers = np.empty(len(codes), np.int64)
    numbers[order] = np.arange(len(codes)) - start
    return numbers

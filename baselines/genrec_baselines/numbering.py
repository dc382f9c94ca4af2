"""Numbers and codes as tokens: what the token-sequence identifiers share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from genrec.identifiers import NewToken
from genrec.identifiers.names import ItemNames
from genrec.types import PAD


def digits(numbers: np.ndarray, base: int, widths: np.ndarray | int = 1) -> np.ndarray:
    """The digits of numbers from 0 on, the highest first, and at least ``widths`` of them.

    Different numbers have different digits, whatever widths they are written with.

    Args:
        numbers: int64 [n].
        base: how many digits there are.
        widths: [n], or one for all.

    Returns:
        int64 [n, longest], `PAD` behind shorter ones.
    """
    lengths = np.maximum(widths, width_for(numbers + 1, base))
    behind = lengths[:, None] - 1 - np.arange(lengths.max(initial=1))
    return np.where(behind >= 0, numbers[:, None] // base ** np.maximum(behind, 0) % base, PAD)


def width_for(counts: np.ndarray, base: int) -> np.ndarray:
    """How many digits tell so many numbers apart, int64 [n]; 1 where there are none."""
    widths, largest = np.ones(len(counts), np.int64), counts.max(initial=1) - 1
    while base ** widths.max(initial=1) <= largest:
        widths += counts - 1 >= base**widths
    return widths


def append(rows: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Row by row, the second of two ragged tables behind the first: int64 [N, longest], `PAD` behind shorter ones.

    Args:
        rows: int64 [N, L], `PAD` behind shorter ones.
        more: int64 [N, M], the same.
    """
    lengths = (rows != PAD).sum(1)
    table = np.pad(rows, ((0, 0), (0, more.shape[1])), constant_values=PAD)
    np.put_along_axis(table, lengths[:, None] + np.arange(more.shape[1]), more, 1)
    return table[:, : (table != PAD).sum(1).max(initial=0)]


def code_tokens(sizes: Sequence[int]) -> list[NewToken]:
    """A token for every code of every level, level after level: ``<a_0> <a_1> .. <b_0> ..``."""
    return [NewToken(f"<{chr(ord('a') + level)}_{code}>") for level, size in enumerate(sizes) for code in range(size)]


def grid_codes(names: ItemNames, sizes: Sequence[int]) -> Tensor:
    """What items are called by the tokens of `code_tokens`, as codes: long [N, L], each from 0 on."""
    first = torch.tensor([0, *sizes[:-1]], device=names.codes.device).cumsum(0)
    return names.codes - names.words - first

"""Numbers and codes as tokens: what the token-sequence identifiers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from genrec.assets import ItemAssets, ItemCodes
from genrec.assets.codes.groups import number_equals
from genrec.identifiers import NewToken
from genrec.identifiers.names import ItemNames
from genrec.types import PAD

NUMBERS = 256
"""Tokens for the numbers of items that share their codes; beyond that a number has two."""


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


def with_new(known: Tensor, count: int, name: Callable[[], Tensor]) -> Tensor:
    """The codes [n, m] of the items that have theirs, then those of the others, [count, m].

    Args:
        known: [n, m] of any kind of integer.
        count: of the items that there are now.
        name: makes the codes of all, [count, m]; asked for where some have none.
    """
    known = known[:count]
    if len(known) == count:
        return known
    codes = name().to(known.device)
    return torch.cat([known.to(codes.dtype), codes[len(known) :]])


def code_tokens(sizes: Sequence[int]) -> list[NewToken]:
    """A token for every code of every level, level after level: ``<a_0> <a_1> .. <b_0> .. <z_0> .. <a1_0> ..``."""
    letters = [chr(ord("a") + level % 26) + str(level // 26 or "") for level in range(len(sizes))]
    return [NewToken(f"<{letter}_{code}>") for letter, size in zip(letters, sizes, strict=True) for code in range(size)]


def grid_codes(names: ItemNames, sizes: Sequence[int]) -> Tensor:
    """What items are called by the tokens of `code_tokens`, as codes: long [N, L], each from 0 on."""
    first = torch.tensor([0, *sizes[:-1]], device=names.codes.device).cumsum(0)
    return names.codes - names.words - first


def tokens_of(recipe: ItemCodes) -> list[NewToken]:
    """The tokens that items are named with by the codes of a recipe: numbers too, where items may share theirs."""
    return code_tokens([recipe.size] * recipe.length + [NUMBERS] * (not recipe.unique))


def named_by_codes(who: str, recipe: ItemCodes, assets: ItemAssets, known: np.ndarray, words: int) -> np.ndarray:
    """The tokens of items that are called by their codes; where items may share theirs, a number follows (`numbered`).

    Args:
        who: the method.
        recipe: of the codes.
        assets: of N items.
        known: int64 [n, .], the tokens of items that have theirs, `PAD` behind shorter ones.
        words: the first of the tokens.

    Returns:
        [N - n, .], `PAD` behind shorter ones.
    """
    codes = assets.codes(recipe).numpy()
    if not recipe.unique:
        return numbered(who, codes, recipe.size, known, words)
    named: np.ndarray = codes + np.arange(codes.shape[1]) * recipe.size + words
    return named[len(known) :]


def read_codes(names: ItemNames, recipe: ItemCodes) -> tuple[Tensor, list[int]]:
    """What `named_by_codes` made tokens of, see `genrec.identifiers.ItemIdentifier.item_codes`."""
    if not recipe.unique:
        return read_numbered(names, recipe.length, recipe.size)
    sizes = [recipe.size] * recipe.length
    return grid_codes(names, sizes), sizes


def numbered(who: str, codes: np.ndarray, size: int, known: np.ndarray, words: int) -> np.ndarray:
    """The tokens of items that are called by their codes and the number among those with the same codes.

    Every number has as many tokens as the largest group of the items that are named first needs, or as it needs itself.

    Args:
        who: the method, where numbers of several tokens are told.
        codes: int64 [N, L], each below ``size``.
        size: codes of a level; behind them stand the `NUMBERS` (`code_tokens`).
        known: int64 [n, .], the tokens of items that have theirs, `PAD` behind shorter ones.
        words: the first of the tokens.

    Returns:
        [N - n, .], `PAD` behind shorter ones.
    """
    numbers, levels = number_equals(codes), codes.shape[1]
    if len(known):
        width = int((known != PAD).sum(1).min()) - levels
    else:
        width = int(width_for(numbers.max(keepdims=True) + 1, NUMBERS)[0])
    spelled = digits(numbers[len(known) :], NUMBERS, width)
    if spelled.shape[1] > 1 and spelled.shape[1] > known.shape[1] - levels:
        print(
            f"{who}: {numbers.max() + 1:,} items share the codes {codes[numbers.argmax()].tolist()}, so numbers have "
            f"up to {spelled.shape[1]} tokens: what they are made of is all alike, or the codes have collapsed"
        )
    tokens = codes[len(known) :] + np.arange(levels) * size
    named = append(tokens, np.where(spelled == PAD, PAD, spelled + levels * size))
    return np.where(named == PAD, PAD, named + words)


def read_numbered(names: ItemNames, length: int, size: int) -> tuple[Tensor, list[int]]:
    """What `numbered` made tokens of: codes and number, long [N, L + 1], and how many there are in each place."""
    tokens = names.codes - names.words
    codes = tokens[:, :length] - torch.arange(length, device=tokens.device) * size
    number = torch.zeros_like(tokens[:, 0])
    for spelled, real in zip(tokens[:, length:].T, (names.codes != PAD)[:, length:].T, strict=True):
        number = torch.where(real, number * NUMBERS + spelled - length * size, number)
    return torch.cat([codes, number[:, None]], 1), [size] * length + [max(NUMBERS, int(number.max()) + 1)]

"""Items whose score is a sum over slots: an item has a code in each, and a user a number for every code.

The letters: m slots of ``size`` codes each. An item is m small integers, a user a table [m, size], and the score of the
item is the sum of the m numbers that its codes point at. No vector of an item is ever made, and no table [B, m, N].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.backbones import Backbone, Memory
from genrec.decoding.grounding import items_at_once, top_k_in_parts
from genrec.devices import widen
from genrec.types import Ranking


@runtime_checkable
class CodeSums(Protocol):
    """An identifier that scores an item by a sum over slots, so that an index of codes can rank for it."""

    def item_codes(self) -> tuple[Tensor, Sequence[int]]:
        """The items' codes [N, m], any kind of integer, and how many codes each slot has [m]."""

    def user_scores(self, backbone: Backbone, memory: Memory) -> Tensor:
        """The users' numbers [B, m, size] for the codes of every slot, from prompts that were read.

        What a slot counts in the sum is in its numbers; ``size`` is that of the largest slot.
        """


def narrow(codes: Tensor, size: int) -> Tensor:
    """Codes below ``size`` in as few bytes as hold them: 1, 2 or 4 each."""
    kind = torch.uint8 if size <= 2**8 else torch.int16 if size <= 2**15 else torch.int32
    return codes.to(kind)


def item_scores(numbers: Tensor, codes: Tensor) -> Tensor:
    """The scores of items: [B, N] of a user's numbers [B, m, size] for the codes, and items' codes [N, m].

    In one pass over the codes: a row per code that holds all users' numbers is looked up and added.
    """
    users, slots, size = numbers.shape
    # Row by row in memory, also for a single user: anything else takes ten times as long.
    table = numbers.permute(1, 2, 0).clone(memory_format=torch.contiguous_format).view(slots * size, users)
    first = torch.arange(0, slots * size, size, device=codes.device, dtype=torch.int32)
    return F.embedding_bag(codes.int() + first, table, mode="sum").T.contiguous()


def top_codes(numbers: Tensor, codes: Tensor, allowed: Tensor, k: int) -> Ranking:
    """The k best allowed items of every user, in every candidate set; items of equal scores in the order of their rows.

    Items are scored a part of the catalogue at a time (`items_at_once`), in float32 or more.

    Args:
        numbers: [B, m, size] float, see `CodeSums.user_scores`.
        codes: [N, m] of any kind of integer, see `narrow`.
        allowed: [C, N] bool, the candidate sets.
        k: how many.

    Returns:
        items and scores [C, B, k].

    Raises:
        GenrecError: if a candidate set holds fewer than k items.
    """
    numbers = widen(numbers)
    size = items_at_once(numbers[:, 0], len(codes))
    return top_k_in_parts(lambda start, stop: item_scores(numbers, codes[start:stop]), size, allowed, k)


class CodeIndex:
    """The codes of items that may grow, N * m bytes where slots have up to 256 codes; every item is compared.

    Args:
        codes: [N, m] of any kind of integer.
        sizes: how many codes each slot has.
    """

    def __init__(self, codes: Tensor, sizes: Sequence[int]) -> None:
        self._size = max(sizes)
        self._codes = narrow(codes, self._size)

    def __len__(self) -> int:
        return len(self._codes)

    def grow(self, codes: Tensor) -> None:
        """Take the codes [N + n, m] of more items in place of those that they begin with."""
        self._codes = narrow(codes, self._size)

    def search(self, numbers: Tensor, k: int, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The rows with the largest scores.

        Args:
            numbers: [B, m, size] float, see `CodeSums.user_scores`.
            k: how many, at most as many as are allowed.
            allowed: bool [N], the rows that may be found; None allows all.

        Returns:
            rows long [B, k] and scores float [B, k], falling.
        """
        if allowed is None:
            allowed = torch.ones(len(self), dtype=torch.bool)
        ranking = top_codes(numbers, self._codes, allowed[None].to(numbers.device), k)
        return ranking.items[0], ranking.scores[0]

"""Rankings without the items that a user has taken already: how deep to rank, and whom together.

A ranking that is so much deeper than k as a user has items leaves k others, whichever he has. How deep a beam search
goes decides what it finds, so the depth of a user comes from his own items alone, never from who else is asked; users
of the same depth share a batch, and the deeper, the fewer. Who has very many items is ranked by himself, with these no
candidates: neither depth nor memory grow with his history.

How much padding a history has is its own, too: sums over more of it may come out otherwise in the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from genrec.data import Ragged
from genrec.errors import GenrecError

MANY = 256
"""Who has more items than this is ranked by himself; up to that, depth costs less than a batch of its own."""
USUAL = 64
"""A depth at which as many users are ranked together as in an evaluation, which ranks them in several settings."""
WIDE = 8
"""Histories are padded to multiples of so many items."""


class Part(NamedTuple):
    """Users who are ranked together.

    Args:
        users: int64 [B].
        depth: of their rankings.
        candidates: bool [N].
        width: items of a history, with padding.
    """

    users: np.ndarray
    depth: int
    candidates: np.ndarray
    width: int


def own_items(lists: Ragged, candidates: np.ndarray, repeats: bool) -> Ragged:
    """What is left out of every user's ranking: the candidates of his list, once each; nothing with ``repeats``."""
    own = lists.unique()
    out = np.zeros(len(own.values), bool) if repeats else candidates[own.values]
    return Ragged.from_rows(own.rows[out], own.values[out], len(own))


def check(own: Ragged, candidates: np.ndarray, k: int, first: int = 0) -> None:
    """Whether there are k items for every user, the first of whom has a number.

    Raises:
        GenrecError: if not.
    """
    if k < 1:
        raise GenrecError(f"k is the number of items per user, at least 1, not {k}")
    total, taken = int(candidates.sum()), own.lengths
    short = np.flatnonzero(total - taken < k)
    if total < k or len(short):
        theirs = f", {int(taken[short[0]])} of which user {first + short[0]} has taken" if total >= k else ""
        raise GenrecError(f"cannot recommend {k} items of {total}{theirs}: ask for a smaller k, or allow more items")


def parts(lists: Ragged, own: Ragged, candidates: np.ndarray, k: int, size: int, longest: int) -> Iterator[Part]:
    """All users, each once.

    Args:
        lists: their histories; those of about the same length come together, so that little of a batch is padding.
        own: `own_items`.
        candidates: bool [N].
        k: items that are wanted.
        size: at most so many users are ranked together.
        longest: at most so many items of a history are read.
    """
    # Powers of two: few depths, and none depends on another user.
    extra = np.where(own.lengths > 0, 2 ** np.ceil(np.log2(np.maximum(own.lengths, 1))), 0).astype(np.int64)
    width = np.minimum(WIDE * np.maximum(1, -(-lists.lengths // WIDE)), longest)
    for more, wide in np.unique(np.stack([extra, width], 1), axis=0).tolist():
        users = np.flatnonzero((extra == more) & (width == wide))
        if more > MANY:
            for user in users.tolist():
                others = candidates.copy()
                others[own[user]] = False
                yield Part(np.array([user]), k, others, wide)
            continue
        together = max(1, size * USUAL // (USUAL + more))
        for start in range(0, len(users), together):
            yield Part(users[start : start + together], min(k + more, int(candidates.sum())), candidates, wide)


def without(items: np.ndarray, own: Ragged, users: np.ndarray, k: int) -> np.ndarray:
    """The columns [B, k] of the first k items [B, depth] that are not their user's own."""
    taken = own.padded(users)
    again = (items[:, :, None] == taken[:, None, :]).any(2)
    return np.argsort(again, axis=1, kind="stable")[:, :k]

"""Which items are near each other: by their token sequences, or by vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.types import PAD

CHUNK = 256
"""Items that are compared with the whole catalogue at a time."""


class Likeness(ABC):
    """How alike items are.

    Attributes:
        unit: what a likeness is counted in.
        ties: likenesses that differ by less are the same.
    """

    unit: str
    ties: float

    @abstractmethod
    def __call__(self, rows: Tensor) -> Tensor:
        """Of items [n] to all items: [n, N], higher is nearer; long where it is counted."""


class ByPrefix(Likeness):
    """Token sequences are as alike as they begin with the same tokens: that is what the search under a trie shares.

    Args:
        codes: [N, L] long, `PAD` behind shorter sequences.
    """

    unit = "tokens"
    ties = 1.0

    def __init__(self, codes: Tensor) -> None:
        self.codes = codes

    def __call__(self, rows: Tensor) -> Tensor:
        """The length of the longest common prefix."""
        mine = self.codes[rows][:, None]
        return ((mine == self.codes) & (mine != PAD)).long().cumprod(2).sum(2)


class ByCosine(Likeness):
    """Vectors are as alike as they point the same way.

    Args:
        table: [N, d] float; of an item with several tokens, all of them one after the other.
    """

    unit = "cosine"
    ties = 1e-6

    def __init__(self, table: Tensor) -> None:
        self.directions = F.normalize(table.float(), dim=1)

    def __call__(self, rows: Tensor) -> Tensor:
        """The cosine."""
        return self.directions[rows] @ self.directions.T


def nearest(likeness: Likeness, rows: Tensor, k: int, seed: int) -> tuple[Tensor, Tensor]:
    """The k items nearest to each of some items, without itself; of equally near ones, some at random.

    Args:
        likeness: between items.
        rows: [n] long.
        k: at most N - 1.
        seed: decides between equals.

    Returns:
        items [n, k] long, nearest first, and how alike they are, [n, k].
    """
    generator = torch.Generator().manual_seed(seed)
    found, scores = [], []
    for part in rows.split(CHUNK):
        alike = likeness(part)
        # Half a tie of noise: what differs by more keeps its order.
        noise = torch.rand(alike.shape, generator=generator) * likeness.ties / 2
        items = (alike + noise).scatter_(1, part[:, None], -torch.inf).topk(k).indices
        found.append(items)
        scores.append(alike.gather(1, items))
    return torch.cat(found), torch.cat(scores)


def overlap(first: Tensor, second: Tensor) -> float:
    """The share of k neighbours [n, k] that are among the k others [n, k], on average."""
    return (first[:, :, None] == second[:, None, :]).any(2).double().mean().item()

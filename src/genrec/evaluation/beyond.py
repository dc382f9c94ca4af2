"""What lists are like beside right: how much of the catalogue they show, how popular and how different their items are.

`genrec.evaluation.metrics` has their names. Importing this loads no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from torch import Tensor


@dataclass(frozen=True)
class Shelf:
    """What is known of the items.

    Args:
        frequency: [N] counts in the training split.
        texts: [N, words] of length 1 or 0, whose inner products are the cosines of the items' texts; None where no
            metric reads them.
    """

    frequency: Tensor
    texts: csr_array | None = None


def popularity(lists: Tensor, shelf: Shelf) -> Tensor:
    """How often the items of a list were taken in training, the mean: the lower, the more novel.

    Args:
        lists: [..., B, k] items, -1 (`PAD`) behind shorter ones.
        shelf: has the counts.

    Returns:
        [..., B] float64; 0 for an empty list.
    """
    real = lists >= 0
    taken = shelf.frequency[lists.clamp(min=0)] * real
    return taken.sum(-1).double() / real.sum(-1).clamp(min=1)


def diversity(lists: Tensor, shelf: Shelf) -> Tensor:
    """How different the items of a list are: 1 minus the mean cosine of the texts of two of them.

    The sum of all cosines is the squared length of the sum of the vectors: no pair is looked at. An item without a word
    is like no other.

    Args:
        lists: [..., B, k] items, -1 (`PAD`) behind shorter ones.
        shelf: has the texts.

    Returns:
        [..., B] float64; 0 for a list of fewer than two items.
    """
    import numpy as np
    import torch
    from scipy.sparse import csr_array

    assert shelf.texts is not None, "diversity reads texts"
    rows = lists.flatten(0, -2).numpy(force=True)
    users, places = np.nonzero(rows >= 0)
    entries = np.ones(len(users)), (users, rows[users, places])
    among = csr_array(entries, shape=(len(rows), shelf.texts.shape[0]))
    summed, itself = among @ shelf.texts, among @ shelf.texts.power(2).sum(1)
    count = (rows >= 0).sum(1)
    pairs = count * (count - 1)
    like = (summed.power(2).sum(1) - itself) / np.maximum(pairs, 1)
    # Items of equal texts differ by what is rounded.
    found = torch.from_numpy(np.where(pairs > 0, np.maximum(1 - like, 0.0), 0.0))
    return found.view(lists.shape[:-1]).to(lists.device)


def coverage(counts: Tensor, candidates: Tensor) -> Tensor:
    """Share of the candidates that are in anybody's list.

    Args:
        counts: [..., N] long, how many lists each item is in.
        candidates: [..., N] bool.

    Returns:
        [...] float64.
    """
    return ((counts > 0) & candidates).sum(-1).double() / candidates.sum(-1)


def gini(counts: Tensor, candidates: Tensor) -> Tensor:
    """How unequally lists share out their places among the candidates: 0 for evenly, nearly 1 for the same few items.

    Half the mean difference of two candidates' counts, over their mean: with the counts in rising order
    ``x_1 .. x_n``, it is ``sum_i (2 i - n - 1) x_i / (n sum_i x_i)``.

    >>> import torch
    >>> gini(torch.tensor([0, 0, 0, 8]), torch.ones(4, dtype=torch.bool))
    tensor(0.7500, dtype=torch.float64)

    Args and returns as `coverage`; NaN without a list.
    """
    # Others come first, with counts of 0, and no weight.
    ordered = counts.where(candidates, -1).sort(-1).values
    n = candidates.sum(-1, keepdim=True)
    places = (candidates.new_ones(candidates.shape[-1]).cumsum(0) - candidates.shape[-1]) + n
    ordered = ordered.clamp(min=0).double()
    return ((2 * places - n - 1) * ordered).sum(-1) / (n[..., 0] * ordered.sum(-1))

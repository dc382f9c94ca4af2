"""From scores over the whole catalogue to the best items of every candidate set."""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.errors import GenrecError
from genrec.types import Ranking


def top_k(scores: Tensor, allowed: Tensor, k: int) -> Ranking:
    """The k best allowed items of every user, in every candidate set.

    Args:
        scores: [B, N] float, higher is better.
        allowed: [C, N] bool, the candidate sets.
        k: how many.

    Returns:
        items and scores [C, B, k].

    Raises:
        GenrecError: if a candidate set holds fewer than k items.
    """
    found = []
    for candidates in allowed:
        if candidates.all():
            best = scores.topk(_checked(k, scores.shape[1]))
            found.append((best.indices, best.values))
        else:
            # Looking at the candidates alone is cheaper than hiding the others, and cannot return one of them.
            rows = candidates.nonzero().squeeze(1)
            best = scores[:, rows].topk(_checked(k, len(rows)))
            found.append((rows[best.indices], best.values))
    return Ranking(torch.stack([items for items, _ in found]), torch.stack([values for _, values in found]))


def _checked(k: int, candidates: int) -> int:
    if k > candidates:
        raise GenrecError(
            f"cannot rank the best {k} of {candidates} candidate items: ask for a smaller k (`ks` of the model)"
        )
    return k

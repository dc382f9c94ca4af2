"""Recall and NDCG of ranked lists with several targets per user: pure functions on a batch.

Written here because the retrieval metrics of torchmetrics drop targets whose score is not positive.
Definitions as in SETRec, Section 4.1, and its release; a target that occurs twice counts twice in the denominators.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrec.types import PAD


def hits(ranked: Tensor, targets: Tensor) -> Tensor:
    """Which ranks hold a target.

    Args:
        ranked: [..., B, k] distinct items, best first.
        targets: [B, M] items, `PAD` where a user has fewer.

    Returns:
        [..., B, k] bool.
    """
    return ((ranked[..., None] == targets[:, None, :]) & (targets != PAD)[:, None, :]).any(-1)


def recall(hit: Tensor, n_targets: Tensor, k: int) -> Tensor:
    """Share of a user's targets among his first k: hits / number of targets, never / min(k, targets).

    Args:
        hit: [..., B, >= k] bool, from `hits`.
        n_targets: [..., B] long, the number of targets.
        k: how many ranks count.

    Returns:
        [..., B] float64; NaN for a user without a target, who must be left out of every mean.
    """
    return hit[..., :k].sum(-1).double() / n_targets


def ndcg(hit: Tensor, n_targets: Tensor, k: int) -> Tensor:
    """Discounted gain over the best possible, whose first min(k, number of targets) ranks are all hits.

    >>> ndcg(torch.tensor([[False, True]]), torch.tensor([1]), 2)  # 1 / log2(3)
    tensor([0.6309], dtype=torch.float64)

    Args and returns as `recall`.
    """
    discount = 1 / torch.arange(2, k + 2, device=hit.device).double().log2()
    gain = (hit[..., :k] * discount).sum(-1)
    ideal = torch.cat([discount.new_zeros(1), discount.cumsum(0)])
    return gain / ideal[n_targets.clamp(max=k)]

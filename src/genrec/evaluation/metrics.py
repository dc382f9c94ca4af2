"""The metrics of ranked lists with several targets per user, each under its name: what a new one is added to.

Written here because the retrieval metrics of torchmetrics drop targets whose score is not positive.
Definitions as in SETRec, Section 4.1, and its release; a target that occurs twice counts twice in the denominators.

A metric is computed twice: by `Metric.of_hits` on a batch, and by `Metric.of_ranks` from the ranks that a test wrote
down. Importing this loads no torch: a table needs names and titles alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import log2
from typing import TYPE_CHECKING

import polars as pl

from genrec.errors import GenrecError

if TYPE_CHECKING:
    from torch import Tensor


def hits(ranked: Tensor, targets: Tensor) -> Tensor:
    """Which ranks hold a target.

    Args:
        ranked: [..., B, k] distinct items, best first.
        targets: [B, M] items, `PAD` (-1) where a user has fewer.

    Returns:
        [..., B, k] bool.
    """
    return ((ranked[..., None] == targets[:, None, :]) & (targets >= 0)[:, None, :]).any(-1)


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

    >>> import torch
    >>> ndcg(torch.tensor([[False, True]]), torch.tensor([1]), 2)  # 1 / log2(3)
    tensor([0.6309], dtype=torch.float64)

    Args and returns as `recall`.
    """
    discount = 1 / (n_targets.new_ones(k).cumsum(0) + 1).double().log2()
    gain = (hit[..., :k] * discount).sum(-1)
    ideal = discount.new_zeros(k + 1)
    ideal[1:] = discount.cumsum(0)
    return gain / ideal[n_targets.clamp(max=k)]


def _recall_of_ranks(rank: pl.Expr, k: int) -> pl.Expr:
    return rank.is_between(1, k).sum() / pl.len()


def _ndcg_of_ranks(rank: pl.Expr, k: int) -> pl.Expr:
    hit = rank.is_between(1, k)
    gain = pl.when(hit).then(1 / (rank.cast(pl.Float64) + 1).log(2)).otherwise(0.0).sum()
    ideal = list(accumulate(1 / log2(place + 1) for place in range(1, k + 1)))
    return gain / pl.len().clip(upper_bound=k).replace_strict(list(range(1, k + 1)), ideal, return_dtype=pl.Float64)


@dataclass(frozen=True)
class Metric:
    """A metric at any cut-off k.

    Args:
        title: on the axes of figures, such as ``NDCG``.
        short: at the head of a table's column, such as ``N``.
        of_hits: from the hits [..., B, >= k] and the numbers of targets [..., B] of a batch to values [..., B].
        of_ranks: from the ranks of a user's targets, 1 the best and 0 for none, to his value.
    """

    title: str
    short: str
    of_hits: Callable[[Tensor, Tensor, int], Tensor]
    of_ranks: Callable[[pl.Expr, int], pl.Expr]


METRICS = {
    "recall": Metric("Recall", "R", recall, _recall_of_ranks),
    "ndcg": Metric("NDCG", "N", ndcg, _ndcg_of_ranks),
}
"""All that are measured, by name, in the order of the tables' columns."""

MAIN = "ndcg"
"""What validation chooses by, and what figures show."""


def names(ks: Iterable[int]) -> list[str]:
    """What is measured at these cut-offs: ``recall@5, recall@10, ndcg@5, ndcg@10``."""
    cuts = list(ks)
    return [f"{metric}@{k}" for metric in METRICS for k in cuts]


def main(ks: Iterable[int]) -> str:
    """What validation chooses by at these cut-offs: that of the largest."""
    return f"{MAIN}@{max(ks)}"


def main_of(measured: Sequence[str]) -> str:
    """The one of these names that figures show."""
    cuts = [k for metric, k in map(parse, measured) if metric is METRICS[MAIN]]
    return main(cuts) if cuts else measured[-1]


def parse(name: str) -> tuple[Metric, int]:
    """The metric and the cut-off of a name such as ``ndcg@10``.

    Raises:
        GenrecError: if there is no such metric.
    """
    metric, _, k = name.partition("@")
    if metric not in METRICS or not k.isdigit():
        known = " and ".join(f"{each}@k" for each in METRICS)
        raise GenrecError(f"`{name}` is no metric that is measured: those are {known}")
    return METRICS[metric], int(k)


def title(name: str) -> str:
    """``NDCG@10`` for ``ndcg@10``."""
    metric, k = parse(name)
    return f"{metric.title}@{k}"


def short(name: str) -> str:
    """``N@10`` for ``ndcg@10``."""
    metric, k = parse(name)
    return f"{metric.short}@{k}"

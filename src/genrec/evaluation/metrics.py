"""The metrics of ranked lists, each under its name: the one place that a new one is added to.

Definitions of recall and NDCG as in SETRec, Section 4.1, and its release; a target that occurs twice counts twice in
the denominators. Written here because the retrieval metrics of torchmetrics drop targets whose score is not positive.

There are three kinds. What follows from the ranks of a user's targets (`Metric`) is computed twice: on a batch, and
from what a test wrote down. What a user's list is like, whatever he took (`ListMetric`), and what all lists together
are like (`CatalogueMetric`) is computed on batches alone, by the functions of `genrec.evaluation.beyond`.

Importing this loads no torch: a table needs names and titles alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import log2
from typing import TYPE_CHECKING, Literal

import polars as pl

from genrec.errors import GenrecError
from genrec.evaluation import beyond

if TYPE_CHECKING:
    from torch import Tensor

    from genrec.evaluation.beyond import Shelf

Best = Literal["high", "low"]


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


def mrr(hit: Tensor, n_targets: Tensor, k: int) -> Tensor:
    """One over the rank of the first hit; 0 without one. Args and returns as `recall`."""
    ranks = n_targets.new_ones(k).cumsum(0)
    return (hit[..., :k] / ranks.double()).amax(-1)


def hit_rate(hit: Tensor, n_targets: Tensor, k: int) -> Tensor:
    """Whether there is a hit at all, 0 or 1. Args and returns as `recall`."""
    return hit[..., :k].any(-1).double()


def average_precision(hit: Tensor, n_targets: Tensor, k: int) -> Tensor:
    """The sum of the precisions at the hits, over min(k, number of targets).

    >>> import torch
    >>> average_precision(torch.tensor([[True, False, True]]), torch.tensor([2]), 3)  # (1/1 + 2/3) / 2
    tensor([0.8333], dtype=torch.float64)

    Args and returns as `recall`.
    """
    counted = hit[..., :k]
    precision = counted.cumsum(-1) / n_targets.new_ones(k).cumsum(0).double()
    return (precision * counted).sum(-1) / n_targets.clamp(max=k)


def _recall_of_ranks(rank: pl.Expr, k: int) -> pl.Expr:
    return rank.is_between(1, k).sum() / pl.len()


def _ndcg_of_ranks(rank: pl.Expr, k: int) -> pl.Expr:
    hit = rank.is_between(1, k)
    gain = pl.when(hit).then(1 / (rank.cast(pl.Float64) + 1).log(2)).otherwise(0.0).sum()
    ideal = list(accumulate(1 / log2(place + 1) for place in range(1, k + 1)))
    return gain / pl.len().clip(upper_bound=k).replace_strict(list(range(1, k + 1)), ideal, return_dtype=pl.Float64)


def _mrr_of_ranks(rank: pl.Expr, k: int) -> pl.Expr:
    return pl.when(rank.is_between(1, k)).then(1 / rank.cast(pl.Float64)).otherwise(0.0).max()


def _hit_rate_of_ranks(rank: pl.Expr, k: int) -> pl.Expr:
    return rank.is_between(1, k).any().cast(pl.Float64)


def _average_precision_of_ranks(rank: pl.Expr, k: int) -> pl.Expr:
    found = rank.filter(rank.is_between(1, k)).cast(pl.Float64)
    return (found.rank() / found).sum() / pl.len().clip(upper_bound=k)


@dataclass(frozen=True)
class Metric:
    """A metric at any cut-off k that follows from where a user's targets stand; the mean over users.

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
    best: Best = field(default="high", init=False)


@dataclass(frozen=True)
class ListMetric:
    """A metric of what is in a user's list, whatever he took; the mean over users.

    Args:
        title: as in `Metric`.
        short: likewise.
        of_lists: from lists [..., B, k], `PAD` behind shorter ones, and what is known of the items to values [..., B].
        best: which values are marked as the best of a table.
        texts: whether it reads the items' texts.
    """

    title: str
    short: str
    of_lists: Callable[[Tensor, Shelf], Tensor]
    best: Best = "high"
    texts: bool = False


@dataclass(frozen=True)
class CatalogueMetric:
    """A metric of all users' lists together.

    Args:
        title: as in `Metric`.
        short: likewise.
        of_counts: from how many users' lists each item is in [..., N], and which are candidates [..., N], to
            values [...].
        best: which values are marked as the best of a table.
    """

    title: str
    short: str
    of_counts: Callable[[Tensor, Tensor], Tensor]
    best: Best = "high"


AnyMetric = Metric | ListMetric | CatalogueMetric

METRICS: dict[str, AnyMetric] = {
    "recall": Metric("Recall", "R", recall, _recall_of_ranks),
    "ndcg": Metric("NDCG", "N", ndcg, _ndcg_of_ranks),
    "mrr": Metric("MRR", "MRR", mrr, _mrr_of_ranks),
    "hitrate": Metric("Hit rate", "HR", hit_rate, _hit_rate_of_ranks),
    "map": Metric("MAP", "MAP", average_precision, _average_precision_of_ranks),
    "coverage": CatalogueMetric("Coverage", "Cov", beyond.coverage),
    "gini": CatalogueMetric("Gini", "Gini", beyond.gini, best="low"),
    "popularity": ListMetric("Mean popularity", "Pop", beyond.popularity, best="low"),
    "diversity": ListMetric("Diversity", "Div", beyond.diversity, texts=True),
}
"""All that can be measured, by name, in the order of the tables' columns."""

MAIN = "ndcg"
"""What validation chooses by, and what figures show."""

USUAL = ("recall", MAIN)
"""What is measured unless something else is asked for."""


def check_cut_offs(ks: Sequence[int] | None) -> None:
    """Look at cut-offs that somebody has given.

    Raises:
        GenrecError: if there is none, or one is no rank.
    """
    if not ks or min(ks) < 1:
        raise GenrecError(f"the cut-offs `ks` must be positive numbers, got {list(ks or ())}")


def names(ks: Iterable[int], chosen: Sequence[str] = USUAL) -> list[str]:
    """What is measured at these cut-offs: ``recall@5, recall@10, ndcg@5, ndcg@10``, in the order of `METRICS`."""
    cuts = list(ks)
    return [f"{metric}@{k}" for metric in METRICS if metric in chosen for k in cuts]


def main(ks: Iterable[int]) -> str:
    """What validation chooses by at these cut-offs: that of the largest."""
    return f"{MAIN}@{max(ks)}"


def main_of(measured: Sequence[str]) -> str:
    """The one of these names that figures show."""
    cuts = [k for metric, k in map(parse, measured) if metric is METRICS[MAIN]]
    return main(cuts) if cuts else measured[-1]


def check(chosen: Sequence[str]) -> None:
    """Look at the metrics that somebody chose.

    Raises:
        GenrecError: if there is no such metric, one is named twice, or that which validation chooses by is not among
            them.
    """
    if unknown := [name for name in chosen if name not in METRICS]:
        raise GenrecError(f"`{unknown[0]!s:.80}` is no metric that is measured: those are {', '.join(METRICS)}")
    if MAIN not in chosen or len(set(chosen)) < len(chosen):
        raise GenrecError(
            f"the metrics are {', '.join(chosen) or 'none'}: name each once, and {MAIN}, which validation chooses by"
        )


def parse(name: str) -> tuple[AnyMetric, int]:
    """The metric and the cut-off of a name such as ``ndcg@10``.

    Raises:
        GenrecError: if there is no such metric.
    """
    metric, _, k = name.partition("@")
    if metric not in METRICS or not k.isdigit():
        known = ", ".join(f"{each}@k" for each in METRICS)
        raise GenrecError(f"`{name}` is no metric that is measured: those are {known}")
    return METRICS[metric], int(k)


def of_ranks(measured: Iterable[str]) -> list[str]:
    """Those of these names that follow from the ranks that a test wrote down."""
    return [name for name in measured if isinstance(parse(name)[0], Metric)]


def title(name: str) -> str:
    """``NDCG@10`` for ``ndcg@10``."""
    metric, k = parse(name)
    return f"{metric.title}@{k}"


def short(name: str) -> str:
    """``N@10`` for ``ndcg@10``."""
    metric, k = parse(name)
    return f"{metric.short}@{k}"

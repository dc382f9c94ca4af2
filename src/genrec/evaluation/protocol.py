"""Which users, targets and candidates count: all, warm, cold and popularity groups (SETRec, Section 4.1, 4.3.2).

======== ============================ ==========================================
setting  candidates                   targets that count
======== ============================ ==========================================
all      every item                   all
warm     items seen in training       those seen in training
cold     items never seen in training those never seen in training
all-new  all without the user's own   all without the user's own
warm-new warm without the user's own  warm without the user's own
cold-new cold without the user's own  cold without the user's own
G1..G5   every item                   those of one fifth of the items, by training frequency; G1 is the most popular
======== ============================ ==========================================

Nothing is removed from a ranking: items of the history may be recommended again. Where people never take an item twice,
such a place is wasted: the settings ``-new``, measured where they are asked for (`Measure`), take the user's own items,
all that he took before, out of the same ranking, and those behind move up.

A user without a target in a setting is left out of that setting's mean. Warm or cold with fewer candidates than the
largest cut-off cannot be ranked so deep: like a candidate set without items, it is no setting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torchmetrics import Metric

from genrec.evaluation import metrics
from genrec.evaluation.beyond import Shelf
from genrec.evaluation.metrics import CatalogueMetric, ListMetric
from genrec.evaluation.ranks import NEW
from genrec.types import PAD, Ranking

GROUPS = 5
_ITEMS = 40  # bits of an item's row


@dataclass(frozen=True)
class Measure:
    """What is measured of rankings.

    Args:
        metrics: names of `genrec.evaluation.metrics.METRICS`; what validation chooses by is among them.
        new: whether a test measures all, warm and cold once more without the items that a user took before.

    Raises:
        GenrecError: if there is no such metric, or that which validation chooses by is missing.
    """

    metrics: Sequence[str] = metrics.USUAL
    new: bool = False

    def __post_init__(self) -> None:
        metrics.check(self.metrics)

    def missing(self, settings: Mapping[str, Mapping[str, float]]) -> list[str]:
        """What is asked for and was not measured, such as ``mrr`` or ``all-new``.

        Args:
            settings: the metrics of every setting, as ``metrics.json`` has them.
        """
        known = {name.partition("@")[0] for name in settings["all"]}
        new = [f"all{NEW}"] if self.new else []
        return [name for name in self.metrics if name not in known] + [name for name in new if name not in settings]

    @property
    def reads_texts(self) -> bool:
        """Whether a metric is of the items' texts."""
        return any(isinstance(each, ListMetric) and each.texts for each in map(metrics.METRICS.get, self.metrics))


def popularity_groups(frequency: np.ndarray, candidates: np.ndarray | None = None) -> np.ndarray:
    """The group 0..4 of every item: items sorted by training frequency, most frequent first, in five equal parts.

    Args:
        frequency: [N] counts in the training split. Items of equal frequency stay in row order.
        candidates: bool [N]; the others are in no group, -1. None is all.
    """
    among = np.arange(len(frequency)) if candidates is None else np.flatnonzero(candidates)
    order = among[np.argsort(-frequency[among], kind="stable")]
    groups = np.full(len(frequency), -1, dtype=np.int64)
    groups[order] = np.arange(len(order)) * GROUPS // len(order)
    return groups


class RankingMetrics(Metric):
    """The metrics of every setting, summed over users, so that any number of processes gives the same means.

    What they are says `genrec.evaluation.metrics`.

    Args:
        frequency: [N] counts in the training split; an item that was never seen is cold.
        ks: the cut-offs.
        sync: add up over all processes; False where one of several processes works alone.
        rankings: how many rankings of the same users are measured side by side.
        groups: `popularity_groups`, where they are known.
        allowed: bool [N], the items that may be recommended; None is all.
        measure: which metrics and settings.
        texts: the items' vectors, as in `Shelf`, where a metric reads them.

    Attributes:
        settings: those that are measured: the candidate sets, in the order of ``allowed``, the same without the users'
            own items, then the groups.
        ranked: those of them that have a ranking of their own, in the order of `lists`.
        left_out: the sizes of the candidate sets that are too small to be ranked.
    """

    full_state_update = False
    frequency: Tensor
    allowed: Tensor
    list_of: Tensor
    counted: Tensor
    sums: Tensor
    counts: Tensor
    users: Tensor
    seconds: Tensor

    def __init__(
        self,
        frequency: np.ndarray,
        ks: Sequence[int],
        sync: bool = True,
        rankings: int = 1,
        groups: np.ndarray | None = None,
        allowed: np.ndarray | None = None,
        measure: Measure | None = None,
        texts: csr_array | None = None,
    ) -> None:
        super().__init__(sync_on_compute=sync)
        self.ks, self.measure, self.texts = tuple(ks), measure or Measure(), texts
        warm = frequency > 0
        allowed = np.ones_like(warm) if allowed is None else allowed
        self.groups = groups = popularity_groups(frequency, allowed) if groups is None else groups
        candidates = {"all": allowed, "warm": warm & allowed, "cold": ~warm & allowed}
        # A data set may have no cold item, or hardly any; a ranking of k items needs k candidates.
        sizes = {name: int(items.sum()) for name, items in candidates.items()}
        self.left_out = {name: size for name, size in sizes.items() if name != "all" and 0 < size < max(self.ks)}
        candidates = {name: items for name, items in candidates.items() if sizes[name] and name not in self.left_out}
        lists = {**candidates, **{name + NEW: items for name, items in candidates.items() if self.measure.new}}
        counted = {**lists, **{f"G{group + 1}": groups == group for group in range(GROUPS)}}
        self.settings, self.ranked = tuple(counted), tuple(lists)
        # The groups are counted in the ranking of all items.
        rows = [list(lists).index(name) if name in lists else 0 for name in counted]
        self.register_buffer("frequency", torch.tensor(frequency), persistent=False)
        self.register_buffer("list_of", torch.tensor(rows), persistent=False)
        self.register_buffer("allowed", torch.from_numpy(np.stack(list(candidates.values()))), persistent=False)
        self.register_buffer("counted", torch.from_numpy(np.stack(list(counted.values()))), persistent=False)
        self.names = tuple(metrics.names(self.ks, self.measure.metrics))
        shape = (rankings, len(self.settings))
        self.add_state("sums", torch.zeros(*shape, len(self.names), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("users", torch.zeros(len(self.settings), dtype=torch.long), dist_reduce_fx="sum")
        self._counting = any(isinstance(metric, CatalogueMetric) for metric, _ in self._metrics())
        if self._counting:
            # How many lists each item is in, by cut-off.
            counts = torch.zeros(*shape, len(self.ks), len(warm), dtype=torch.long)
            self.add_state("counts", counts, dist_reduce_fx="sum")
        # Processes rank side by side: the slowest one decides.
        self.add_state("seconds", torch.zeros((), dtype=torch.float64), dist_reduce_fx="max")

    def _metrics(self) -> list[tuple[metrics.AnyMetric, int]]:
        return [metrics.parse(name) for name in self.names]

    def lists(self, ranking: Ranking, own: Tensor | None = None) -> Tensor:
        """What counts of a ranking: the best of every candidate set, then, where it is asked for, the best new ones.

        Args:
            ranking: items [..., C, B, n], n at least the largest cut-off.
            own: [B, H] items that users took before, padded anywhere; for the settings without them.

        Returns:
            [..., lists, B, largest cut-off], `PAD` behind shorter ones.
        """
        best = ranking.items[..., : max(self.ks)]
        if not self.measure.new:
            return best
        assert own is not None, "settings without the users' own items take them"
        return torch.cat([best, without(ranking.items, own, max(self.ks))], -3)

    def update(self, ranking: Ranking, targets: Tensor, seconds: float = 0.0, own: Tensor | None = None) -> None:
        """Count a batch of users.

        Args:
            ranking: items [C, B, k >= max(ks)], one candidate set for each row of ``allowed``; [rankings, C, B, k] of
                several.
            targets: [B, M] items, `PAD` where a user has fewer.
            seconds: what ranking the batch took.
            own: see `lists`.
        """
        items = ranking.items.view(len(self.sums), *ranking.items.shape[-3:])
        found = self.lists(Ranking(items, ranking.scores), own)[:, self.list_of]
        real = self.counted[:, targets.clamp(min=0)] & (targets != PAD)
        if own is not None:
            real &= ~(self._is_new()[:, None, None] & among(targets, own))
        n_targets = real.sum(2)
        # A hit counts where its item does: no setting has to look for its own targets.
        hit = metrics.hits(found, targets) & self._counts(found)
        values = torch.stack([self._values(metric, k, hit, n_targets, found) for metric, k in self._metrics()])
        # A user without a target in a setting is none of its users.
        self.sums += torch.where(n_targets > 0, values, 0).sum(-1).permute(1, 2, 0)
        self.users += (n_targets > 0).sum(1)
        self.seconds += seconds
        if self._counting:
            self._count_items(found, n_targets > 0)

    def _values(self, metric: metrics.AnyMetric, k: int, hit: Tensor, n_targets: Tensor, found: Tensor) -> Tensor:
        """The users' values [rankings, settings, B]; zeros for a metric that no single user has."""
        if isinstance(metric, metrics.Metric):
            return metric.of_hits(hit, n_targets, k)
        if isinstance(metric, ListMetric):
            return metric.of_lists(found[..., :k], Shelf(self.frequency, self.texts))
        return hit.new_zeros(hit.shape[:-1], dtype=torch.float64)

    def _count_items(self, found: Tensor, users: Tensor) -> None:
        """Count the items of the lists [rankings, settings, B, k] of users [settings, B] who count."""
        counts = self.counts.flatten(0, 2)
        for place, k in enumerate(self.ks):
            some = found[..., :k]
            counted = ((some != PAD) & users[..., None]).flatten(2).long()
            rows = torch.arange(len(counts), device=counts.device).view(self.counts.shape[:3])[..., place]
            counts.index_put_((rows[..., None], some.flatten(2).clamp(min=0)), counted, accumulate=True)

    def _is_new(self) -> Tensor:
        """[settings] bool, those without the users' own items."""
        return torch.tensor([name.endswith(NEW) for name in self.settings], device=self.counted.device)

    def _counts(self, items: Tensor) -> Tensor:
        """Which items [rankings, settings, B, k] are counted in their setting."""
        setting = torch.arange(len(self.settings), device=items.device)
        # A row outside the catalogue is nobody's target, and is told of elsewhere (`genrec.evaluation.lists`).
        return self.counted[setting[:, None, None], items.clamp(0, self.counted.shape[1] - 1)]

    def compute(self) -> dict[str, dict[str, float]]:
        """Means by setting: ``{"all": {"recall@5": ..., "ndcg@10": ..., "users": ...}, ...}``, of the first ranking.

        A setting that counted no user has 0 users and NaN means.
        """
        return self._means(0)

    def compute_each(self) -> list[dict[str, dict[str, float]]]:
        """`compute` for every ranking."""
        with self.sync_context(should_sync=self.sync_on_compute):
            return [self._means(number) for number in range(len(self.sums))]

    def _means(self, ranking: int) -> dict[str, dict[str, float]]:
        means = self.sums[ranking] / self.users[:, None]
        for column, (metric, k) in enumerate(self._metrics()):
            if isinstance(metric, CatalogueMetric):
                candidates = self.allowed[self.list_of % len(self.allowed)]
                value = metric.of_counts(self.counts[ranking, :, self.ks.index(k)], candidates)
                means[:, column] = value.where(self.users > 0, torch.nan)
        return {
            name: {**dict(zip(self.names, values, strict=True)), "users": users}
            for name, values, users in zip(self.settings, means.tolist(), self.users.tolist(), strict=True)
        }


def among(items: Tensor, own: Tensor) -> Tensor:
    """Which items [..., B, n] are among those of their user [B, H]; `PAD` is among none."""
    user = torch.arange(len(own), device=own.device)[:, None] << _ITEMS
    return torch.isin(items + user, own + user) & (items != PAD)


def without(ranked: Tensor, own: Tensor, k: int) -> Tensor:
    """The first k of every user's ranking that are none of his own.

    >>> without(torch.tensor([[7, 4, 9, 2]]), torch.tensor([[4, 2, -1]]), 3)
    tensor([[ 7,  9, -1]])

    Args:
        ranked: [..., B, n] items, best first, `PAD` behind shorter rankings.
        own: [B, H] items, padded anywhere.
        k: how many.

    Returns:
        [..., B, k], `PAD` behind what is left.
    """
    gone = among(ranked, own) | (ranked == PAD)
    kept, order = gone.sort(dim=-1, stable=True)
    return ranked.gather(-1, order).where(~kept, PAD)[..., :k]

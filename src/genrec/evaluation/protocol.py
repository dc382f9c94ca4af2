"""Which users, targets and candidates count: all, warm, cold and popularity groups (SETRec, Section 4.1, 4.3.2).

======= ============================ ==========================================
setting candidates                   targets that count
======= ============================ ==========================================
all     every item                   all
warm    items seen in training       those seen in training
cold    items never seen in training those never seen in training
G1..G5  every item                   those of one fifth of the items, by training frequency; G1 is the most popular
======= ============================ ==========================================

Nothing is removed from a ranking: items of the history may be recommended again. A user without a target in a
setting is left out of that setting's mean. Warm or cold with fewer candidates than the largest cut-off cannot be ranked
so deep: like a candidate set without items, it is no setting.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from genrec.evaluation import metrics
from genrec.types import PAD, Ranking

GROUPS = 5
MAIN_SETTINGS = ("all", "warm", "cold")


def popularity_groups(frequency: np.ndarray) -> np.ndarray:
    """The group 0..4 of every item: items sorted by training frequency, most frequent first, in five equal parts.

    Args:
        frequency: [N] counts in the training split. Items of equal frequency stay in row order.
    """
    order = np.argsort(-frequency, kind="stable")
    groups = np.empty(len(frequency), dtype=np.int64)
    groups[order] = np.arange(len(frequency)) * GROUPS // len(frequency)
    return groups


class RankingMetrics(Metric):
    """Recall@k and NDCG@k of every setting, summed over users, so that any number of processes gives the same means.

    Args:
        frequency: [N] counts in the training split; an item that was never seen is cold.
        ks: the cut-offs.
        sync: add up over all processes; False where one of several processes works alone.

    Attributes:
        settings: those that are measured: the candidate sets, in the order of ``allowed``, then the groups.
        left_out: the sizes of the candidate sets that are too small to be ranked.
    """

    full_state_update = False
    allowed: Tensor
    counted: Tensor
    sums: Tensor
    users: Tensor
    seconds: Tensor

    def __init__(self, frequency: np.ndarray, ks: Sequence[int], sync: bool = True) -> None:
        super().__init__(sync_on_compute=sync)
        self.ks = tuple(ks)
        warm = frequency > 0
        groups = popularity_groups(frequency)
        candidates = {"all": np.ones_like(warm), "warm": warm, "cold": ~warm}
        # A data set may have no cold item, or hardly any; a ranking of k items needs k candidates.
        sizes = {name: int(items.sum()) for name, items in candidates.items()}
        self.left_out = {name: size for name, size in sizes.items() if name != "all" and 0 < size < max(self.ks)}
        candidates = {name: items for name, items in candidates.items() if sizes[name] and name not in self.left_out}
        counted = {**candidates, **{f"G{group + 1}": groups == group for group in range(GROUPS)}}
        self.settings = tuple(counted)
        self.candidate_of = [list(candidates).index(name) if name in candidates else 0 for name in counted]
        self.register_buffer("allowed", torch.from_numpy(np.stack(list(candidates.values()))), persistent=False)
        self.register_buffer("counted", torch.from_numpy(np.stack(list(counted.values()))), persistent=False)
        self.names = tuple(f"{metric}@{k}" for metric in ("recall", "ndcg") for k in self.ks)
        shape = (len(self.settings), len(self.names))
        self.add_state("sums", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("users", torch.zeros(len(self.settings), dtype=torch.long), dist_reduce_fx="sum")
        # Processes rank side by side: the slowest one decides.
        self.add_state("seconds", torch.zeros((), dtype=torch.float64), dist_reduce_fx="max")

    def update(self, ranking: Ranking, targets: Tensor, seconds: float = 0.0) -> None:
        """Count a batch of users.

        Args:
            ranking: items [C, B, k >= max(ks)], one candidate set for each row of ``allowed``.
            targets: [B, M] items, `PAD` where a user has fewer.
            seconds: what ranking the batch took.
        """
        for row, (candidates, counted) in enumerate(zip(self.candidate_of, self.counted, strict=True)):
            real = (targets != PAD) & counted[targets.clamp(min=0)]
            keep = real.any(1)
            mine = torch.where(real, targets, PAD)[keep]
            hit, n_targets = metrics.hits(ranking.items[candidates][keep], mine), real.sum(1)[keep]
            values = [f(hit, n_targets, k).sum() for f in (metrics.recall, metrics.ndcg) for k in self.ks]
            self.sums[row] += torch.stack(values)
            self.users[row] += keep.sum()
        self.seconds += seconds

    def compute(self) -> dict[str, dict[str, float]]:
        """Means by setting: ``{"all": {"recall@5": ..., "ndcg@10": ..., "users": ...}, ...}``.

        A setting that counted no user has 0 users and NaN means.
        """
        means = (self.sums / self.users[:, None]).tolist()
        return {
            name: {**dict(zip(self.names, values, strict=True)), "users": users}
            for name, values, users in zip(self.settings, means, self.users.tolist(), strict=True)
        }

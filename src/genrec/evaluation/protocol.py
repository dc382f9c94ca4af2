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

    Attributes:
        settings: those that are measured: the candidate sets, in the order of ``allowed``, then the groups.
        left_out: the sizes of the candidate sets that are too small to be ranked.
    """

    full_state_update = False
    allowed: Tensor
    candidate_of: Tensor
    counted: Tensor
    sums: Tensor
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
    ) -> None:
        super().__init__(sync_on_compute=sync)
        self.ks = tuple(ks)
        warm = frequency > 0
        allowed = np.ones_like(warm) if allowed is None else allowed
        self.groups = groups = popularity_groups(frequency, allowed) if groups is None else groups
        candidates = {"all": allowed, "warm": warm & allowed, "cold": ~warm & allowed}
        # A data set may have no cold item, or hardly any; a ranking of k items needs k candidates.
        sizes = {name: int(items.sum()) for name, items in candidates.items()}
        self.left_out = {name: size for name, size in sizes.items() if name != "all" and 0 < size < max(self.ks)}
        candidates = {name: items for name, items in candidates.items() if sizes[name] and name not in self.left_out}
        counted = {**candidates, **{f"G{group + 1}": groups == group for group in range(GROUPS)}}
        self.settings = tuple(counted)
        row_of = [list(candidates).index(name) if name in candidates else 0 for name in counted]
        self.register_buffer("candidate_of", torch.tensor(row_of), persistent=False)
        self.register_buffer("allowed", torch.from_numpy(np.stack(list(candidates.values()))), persistent=False)
        self.register_buffer("counted", torch.from_numpy(np.stack(list(counted.values()))), persistent=False)
        self.names = tuple(metrics.names(self.ks))
        shape = (rankings, len(self.settings), len(self.names))
        self.add_state("sums", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("users", torch.zeros(len(self.settings), dtype=torch.long), dist_reduce_fx="sum")
        # Processes rank side by side: the slowest one decides.
        self.add_state("seconds", torch.zeros((), dtype=torch.float64), dist_reduce_fx="max")

    def update(self, ranking: Ranking, targets: Tensor, seconds: float = 0.0) -> None:
        """Count a batch of users.

        Args:
            ranking: items [C, B, k >= max(ks)], one candidate set for each row of ``allowed``; [rankings, C, B, k] of
                several.
            targets: [B, M] items, `PAD` where a user has fewer.
            seconds: what ranking the batch took.
        """
        found = ranking.items.view(len(self.sums), len(self.allowed), len(targets), -1)
        real = self.counted[:, targets.clamp(min=0)] & (targets != PAD)
        n_targets = real.sum(2)
        # A hit counts where its item does: no setting has to look for its own targets.
        hit = metrics.hits(found, targets)[:, self.candidate_of]
        hit = hit & self._counts(found[:, self.candidate_of])
        measured = [metrics.parse(name) for name in self.names]
        values = [metric.of_hits(hit, n_targets, k) for metric, k in measured]
        # A user without a target in a setting is none of its users.
        self.sums += torch.where(n_targets > 0, torch.stack(values), 0).sum(-1).permute(1, 2, 0)
        self.users += (n_targets > 0).sum(1)
        self.seconds += seconds

    def _counts(self, items: Tensor) -> Tensor:
        """Which items [rankings, settings, B, k] are counted in their setting."""
        setting = torch.arange(len(self.settings), device=items.device)
        # A row outside the catalogue is nobody's target, and is told of elsewhere (`genrec.evaluation.lists`).
        return self.counted[setting[:, None, None], items.clamp(0, self.counted.shape[1] - 1)]

    def compute(self) -> dict[str, dict[str, float]]:
        """Means by setting: ``{"all": {"recall@5": ..., "ndcg@10": ..., "users": ...}, ...}``, of the first ranking.

        A setting that counted no user has 0 users and NaN means.
        """
        return self._means(self.sums[0])

    def compute_each(self) -> list[dict[str, dict[str, float]]]:
        """`compute` for every ranking."""
        with self.sync_context(should_sync=self.sync_on_compute):
            return [self._means(sums) for sums in self.sums]

    def _means(self, sums: Tensor) -> dict[str, dict[str, float]]:
        means = (sums / self.users[:, None]).tolist()
        return {
            name: {**dict(zip(self.names, values, strict=True)), "users": users}
            for name, values, users in zip(self.settings, means, self.users.tolist(), strict=True)
        }

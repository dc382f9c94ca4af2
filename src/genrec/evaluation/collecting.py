"""Where every target stands in every ranking: collected while a test goes on."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torchmetrics import Metric

from genrec.data import Dataset, Ragged
from genrec.evaluation.protocol import RankingMetrics, popularity_groups
from genrec.evaluation.ranks import GROUP, ITEM, RANK, USER
from genrec.types import PAD, Ranking


def target_ranks(ranked: Tensor, targets: Tensor) -> Tensor:
    """The place of every target in its user's ranking.

    >>> target_ranks(torch.tensor([[7, 4, 9]]), torch.tensor([[9, 5, -1]]))
    tensor([[3, 0, 0]])

    Args:
        ranked: [B, k] distinct items, best first.
        targets: [B, M] items, `PAD` where a user has fewer.

    Returns:
        [B, M] long, 1 for the best; 0 for a target that is not among the k, and for padding.
    """
    found = (ranked[:, None, :] == targets[:, :, None]) & (targets != PAD)[:, :, None]
    return (found * torch.arange(1, ranked.shape[1] + 1, device=ranked.device)).sum(2)


class TargetRanks(Metric):
    """Collects the ranks of all targets.

    Every target has a row of its own from the start, and every user is ranked by one process: the sum over processes
    is the whole, however the users were shared out.

    Args:
        targets: what every user took in the split that is ranked, each item once.
        candidates: how many candidate sets are ranked.
        sync: add up over all processes; False where one of several processes works alone.
    """

    full_state_update = False
    offsets: Tensor
    ranked: Tensor

    def __init__(self, targets: Ragged, candidates: int, sync: bool = True) -> None:
        super().__init__(sync_on_compute=sync)
        self.register_buffer("offsets", torch.from_numpy(targets.offsets), persistent=False)
        # Column 0 says whether the target's user was ranked, the others are the ranks.
        shape = (len(targets.values), 1 + candidates)
        self.add_state("ranked", torch.zeros(shape, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, ranking: Ranking, users: Tensor, targets: Tensor) -> None:
        """Take in a batch of users.

        Args:
            ranking: items [C, B, k].
            users: [B] rows.
            targets: [B, M], the users' lists of `targets`, padded on the right.
        """
        rows = self.offsets[users][:, None] + torch.arange(targets.shape[1], device=targets.device)
        found = [torch.ones_like(targets), *(target_ranks(items, targets) for items in ranking.items)]
        # Padding adds nothing to whatever row it would be.
        real = (targets != PAD)[..., None]
        added = torch.where(real, torch.stack(found, 2), 0)
        self.ranked.index_add_(0, torch.where(real[..., 0], rows, 0).flatten(), added.flatten(0, 1))

    def compute(self) -> Tensor:
        """[targets, 1 + C] long: whether each target's user was ranked, then its rank in every candidate set."""
        assert self.ranked[:, 0].max() <= 1, "TargetRanks: every user is ranked once"
        return self.ranked


def ranks_frame(ranked: Tensor, metrics: RankingMetrics, dataset: Dataset, targets: Ragged) -> pl.DataFrame:
    """The ranks with keys in place of rows, as ``ranks.parquet`` holds them (`genrec.evaluation.ranks`).

    Args:
        ranked: [targets, 1 + C], from `TargetRanks.compute`.
        metrics: says what the C candidate sets are.
        dataset: has the keys, and the popularity groups.
        targets: the lists whose items are ranked.
    """
    done, ranks = np.split(ranked.cpu().numpy(), [1], axis=1)
    keep = done[:, 0] > 0
    users, items, ranks = targets.rows[keep], targets.values[keep], ranks[keep]
    keys, groups = dataset.catalog.keys, popularity_groups(dataset.frequency) + 1
    frame = {
        USER: dataset.users.at(users),
        ITEM: keys.at(items),
        GROUP: pl.Series(groups[items], dtype=pl.UInt8),
    }
    for name, allowed, places in zip(metrics.settings, metrics.allowed.cpu().numpy(), ranks.T, strict=False):
        counted = pl.Series(allowed[items])
        frame[RANK + name] = pl.Series(places, dtype=pl.Int32).zip_with(counted, pl.Series([None], dtype=pl.Int32))
    return pl.DataFrame(frame)

"""Results user by user, as ``genrec test`` keeps them: where every target stands in every ranking.

``ranks.parquet`` of a run's folder has a row per test user and target:

========= ==========================================================================================================
user      the user's key
item      the target's key
group     1..5, the target's popularity group; 1 is the most popular
rank_all  its place in the ranking of all items: 1 is the best, 0 is none of the k that were ranked
rank_warm its place in the ranking of the warm items; null for a cold target, which that ranking does not count
rank_cold its place in the ranking of the cold items; null for a warm target
========= ==========================================================================================================

A ranking of fewer items than the largest cut-off is not measured, and its column is missing.

Every metric of ``metrics.json`` follows from it (`means`), and so does every paired comparison of two runs
(`genrec.analysis.compare`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torchmetrics import Metric

from genrec.data import Dataset, Ragged
from genrec.errors import GenrecError
from genrec.evaluation.metrics import parse
from genrec.evaluation.protocol import RankingMetrics, popularity_groups
from genrec.io.files import write_new
from genrec.types import PAD, Ranking

USER, ITEM, GROUP, RANK = "user", "item", "group", "rank_"
GROUPS = range(1, 6)


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


def write(path: Path, ranks: pl.DataFrame) -> None:
    """Keep the ranks of a run, beside older ones."""
    write_new(path, ranks.write_parquet)


def read(path: Path) -> pl.DataFrame:
    """The ranks of a run, ordered by user and item.

    Raises:
        GenrecError: if there is no such file, or it is damaged or of another version.
    """
    if not path.is_file():
        raise GenrecError(f"there is no `{path}`: run `genrec test` again, which writes it")
    try:
        ranks = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise GenrecError(f"`{path}` is damaged: run `genrec test` again") from error
    missing = {USER, ITEM, GROUP, RANK + "all"} - set(ranks.columns)
    if missing:
        raise GenrecError(
            f"`{path}` has no column `{min(missing)}`: it is of another version of genrec; run `genrec test` again"
        )
    return ranks.sort(USER, ITEM)


def settings(ranks: pl.DataFrame) -> tuple[str, ...]:
    """The names of the settings: the candidate sets, then the popularity groups."""
    candidates = [name.removeprefix(RANK) for name in ranks.columns if name.startswith(RANK)]
    return (*candidates, *(f"G{group}" for group in GROUPS))


def user_metrics(ranks: pl.DataFrame, setting: str, names: Sequence[str]) -> np.ndarray:
    """The metrics of every user who has a target in a setting, as `genrec.evaluation.metrics` defines them.

    Args:
        ranks: as from `read`.
        setting: one of `settings`; the groups are counted in the ranking of all items.
        names: metrics such as ``recall@5`` and ``ndcg@10``, with cut-offs of at most the k that were ranked.

    Returns:
        float64 [users, metrics], the users in the order of `ranks`.
    """
    grouped = setting.startswith("G")
    column = pl.col(RANK + ("all" if grouped else setting))
    counted = pl.col(GROUP) == int(setting[1:]) if grouped else column.is_not_null()
    of_ranks = {name: metric.of_ranks(column, k) for name in names for metric, k in [parse(name)]}
    users = ranks.filter(counted).group_by(USER, maintain_order=True).agg(**of_ranks)
    return users.select(names).to_numpy()


def means(ranks: pl.DataFrame, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The ``settings`` of ``metrics.json``, computed anew; a setting without users has NaN means."""
    result = {}
    for setting in settings(ranks):
        values = user_metrics(ranks, setting, names)
        mean = values.mean(0) if len(values) else np.full(len(names), np.nan)
        result[setting] = {**dict(zip(names, mean.tolist(), strict=True)), "users": len(values)}
    return result

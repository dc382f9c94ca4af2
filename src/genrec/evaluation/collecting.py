"""Where every target stands in every ranking: collected while a test goes on."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from genrec.data import Dataset
from genrec.errors import GenrecError
from genrec.evaluation.protocol import RankingMetrics, among
from genrec.evaluation.ranks import GROUP, ITEM, NEW, RANK, USER
from genrec.io.spool import Spool, in_order, processes, write_frames
from genrec.types import PAD

AGAIN = "again"
"""Whether a user had taken his target before."""


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


class TargetRanks:
    """Puts down the ranks of the targets of the users whom this process ranks.

    Args:
        folder: where all processes put theirs; memory does not grow with the users.
        process: the number of this one.
    """

    def __init__(self, folder: Path, process: int = 0) -> None:
        self._spool = Spool(folder, process)
        self.close = self._spool.close

    def update(self, lists: Tensor, users: Tensor, targets: Tensor, own: Tensor | None = None) -> None:
        """Take in a batch of users.

        Args:
            lists: items [lists, B, k], as from `RankingMetrics.lists`.
            users: [B] rows.
            targets: [B, M], what they took, each item once, padded on the right.
            own: [B, H], what they took before, where it is taken out of some lists.
        """
        real = (targets != PAD).numpy(force=True)
        whose = np.broadcast_to(users.numpy(force=True)[:, None], real.shape)[real]
        columns = {USER: whose, ITEM: targets.numpy(force=True)[real]}
        before = torch.zeros_like(targets, dtype=torch.bool) if own is None else among(targets, own)
        for number, items in enumerate(lists):
            columns[str(number)] = target_ranks(items, targets).numpy(force=True)[real]
        again = pl.Series(AGAIN, before.numpy(force=True)[real])
        self._spool.add(pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Int32)).with_columns(again))


def named(rows: pl.DataFrame, metrics: RankingMetrics, dataset: Dataset) -> pl.DataFrame:
    """Ranks with keys in place of rows, as ``ranks.parquet`` holds them (`genrec.evaluation.ranks`).

    Args:
        rows: what `TargetRanks` put down, of some users.
        metrics: says what the candidate sets are, and has the popularity groups.
        dataset: has the keys.
    """
    assert not rows.select(USER, ITEM).is_duplicated().any(), "TargetRanks: every user is ranked once"
    items = rows[ITEM].to_numpy()
    frame = {
        USER: dataset.users.at(rows[USER].to_numpy()),
        ITEM: dataset.catalog.keys.at(items),
        GROUP: pl.Series(metrics.groups[items] + 1, dtype=pl.UInt8),
    }
    wanted = torch.tensor(items, dtype=torch.long)
    for number, name in enumerate(metrics.ranked):
        counted = pl.Series(metrics.counted[number][wanted.to(metrics.counted.device)].numpy(force=True))
        if name.endswith(NEW):
            counted &= ~rows[AGAIN]
        frame[RANK + name] = rows[str(number)].zip_with(counted, pl.Series([None], dtype=pl.Int32))
    return pl.DataFrame(frame)


def write_ranks(path: Path, folder: Path, metrics: RankingMetrics, dataset: Dataset) -> None:
    """Put together what all processes have put down: the order is that of the users, whoever ranked them."""
    write_frames(path, (named(rows, metrics, dataset) for rows in in_order(folder, len(dataset.users))))


class CollectedRanks:
    """The ranks of all processes of a test, in one temporary file that is there as long as this of the first.

    Args:
        trainer: of the test.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer, name = trainer, ""
        if trainer.is_global_zero:
            beside = None if trainer.world_size == 1 else Path(trainer.default_root_dir)
            if beside:
                beside.mkdir(parents=True, exist_ok=True)
            self._parts = TemporaryDirectory(prefix=".ranks-", dir=beside)
            name = self._parts.name
        # Of all processes, until they are put together.
        self.folder = Path(trainer.strategy.broadcast(name))
        self._own = TargetRanks(self.folder, trainer.global_rank)
        self.update = self._own.update

    def merged(self, metrics: RankingMetrics, dataset: Dataset) -> pl.LazyFrame:
        """What all processes have put down, put together by the first.

        Raises:
            GenrecError: if the processes do not see each other's.
        """
        strategy = self._trainer.strategy
        self._own.close()
        strategy.barrier("ranks are put down")
        complete = len(processes(self.folder)) >= self._trainer.world_size
        if not strategy.reduce_boolean_decision(complete, all=True):
            raise GenrecError(
                f"`{self.folder.parent}` is not the same folder for all processes, which put down there where targets "
                "stand: give one that all machines share (`--runs`, or the trainer's `default_root_dir`)"
            )
        path = ""
        if self._trainer.is_global_zero:
            self._kept = TemporaryDirectory(prefix="ranks-")
            path = f"{self._kept.name}/ranks.parquet"
            write_ranks(Path(path), self.folder, metrics, dataset)
            self._parts.cleanup()
        return pl.scan_parquet(strategy.broadcast(path))

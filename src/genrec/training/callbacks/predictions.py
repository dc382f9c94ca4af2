"""What predict writes, while it goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import numpy as np
import polars as pl

from genrec.io.files import set_aside, write_new
from genrec.io.spool import USER, Spool, in_order, write_frames
from genrec.recommenders.base import RankingModule


class PredictionWriter(L.Callback):
    """Writes the best items of every user: ``user, rank, item, title, score``, a row per recommendation.

    Lists are put down in a temporary folder as they come, and written in the order of the users: memory does not grow
    with them.

    Args:
        path: a ``.parquet`` or ``.jsonl`` file. With several processes it is a folder, of a file by each, which polars
            scans as one. An older one is renamed, never overwritten.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Make room for the lists."""
        self._temporary = TemporaryDirectory(prefix="predictions-")
        self._spool = Spool(Path(self._temporary.name))

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Put down the lists of a batch."""
        lists = {name: rows.numpy(force=True) for name, rows in outputs.items()}
        items, scores = lists["items"].astype(np.int32), lists["scores"]
        self._spool.add(pl.DataFrame({USER: lists["users"].astype(np.int32), "items": items, "scores": scores}))

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the file, or this process's of the folder, which is moved to its place when all are there."""
        assert isinstance(pl_module, RankingModule)
        self._spool.close()
        path = trainer.strategy.broadcast(self.path)
        if trainer.world_size == 1:
            write_new(path, lambda unfinished: self._write(unfinished, pl_module, path))
        else:
            unfinished = trainer.strategy.broadcast(path.with_name(f".{os.getpid()}.{path.name}"))
            unfinished.mkdir(parents=True, exist_ok=True)
            name = f"part-{trainer.global_rank:05}{path.suffix}"
            self._write(unfinished / name, pl_module, path / name)
            trainer.strategy.barrier("predictions are written")
            if trainer.is_global_zero:
                unfinished.rename(set_aside(path))
        self._temporary.cleanup()

    def _write(self, path: Path, module: RankingModule, place: Path) -> None:
        count = write_frames(path, self._named(module))
        print(f"wrote the best {max(module.ks)} items of {count // max(module.ks):,} users to {place}")

    def _named(self, module: RankingModule) -> Iterator[pl.DataFrame]:
        """Keys and titles in place of rows, some users at a time."""
        catalog, users = module.dataset.catalog, module.dataset.users
        keys, titles = catalog.keys, catalog.titles
        for lists in in_order(self._spool.folder, len(users)):
            items, scores = lists["items"].to_numpy(), lists["scores"].to_numpy()
            count, k = items.shape
            yield pl.DataFrame(
                {
                    "user": users.at(lists[USER].to_numpy().repeat(k)),
                    "rank": np.tile(np.arange(1, k + 1), count),
                    "item": keys.at(items.ravel()),
                    "title": titles.at(items.ravel()),
                    "score": scores.ravel(),
                }
            )

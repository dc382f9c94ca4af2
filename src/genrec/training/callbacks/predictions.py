"""The file that predict writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import polars as pl
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from genrec.io.files import write_new
from genrec.recommenders.base import RankingModule


class PredictionWriter(BasePredictionWriter):
    """Writes the best items of every user: ``user, rank, item, title, score``, a row per recommendation.

    Args:
        path: a ``.parquet`` or ``.jsonl`` file. With several processes each writes its own users, behind its rank's
            number. An older file is renamed, never overwritten.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(write_interval="epoch")
        self.path = path

    def write_on_epoch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, predictions: Any, batch_indices: Any
    ) -> None:
        """Write one file."""
        assert isinstance(pl_module, RankingModule)
        path = trainer.strategy.broadcast(self.path)
        if trainer.world_size > 1:
            path = path.with_name(f"{path.stem}.rank{trainer.global_rank}{path.suffix}")
        frame = _frame(pl_module, predictions)
        write_new(path, frame.write_ndjson if path.suffix == ".jsonl" else frame.write_parquet)
        print(f"wrote the best {max(pl_module.ks)} items of {len(frame) // max(pl_module.ks):,} users to {path}")


def _frame(module: RankingModule, predictions: list[dict[str, Tensor]]) -> pl.DataFrame:
    users, items, scores = (
        torch.cat([batch[name] for batch in predictions]).cpu().numpy() for name in ("users", "items", "scores")
    )
    order = users.argsort()
    users, items, scores = users[order], items[order], scores[order]
    catalog, k = module.dataset.catalog, items.shape[1]
    return pl.DataFrame(
        {
            "user": module.dataset.users.at(users.repeat(k)),
            "rank": np.tile(np.arange(1, k + 1), len(users)),
            "item": catalog.keys.at(items.ravel()),
            "title": catalog.titles.at(items.ravel()),
            "score": scores.ravel(),
        }
    )

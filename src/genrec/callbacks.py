"""What a run writes down beside checkpoints and logs: its config, its speed, its predictions."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import lightning as L
import polars as pl
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.cli import SaveConfigCallback
from torch import Tensor

from genrec.evaluation import RankingModule
from genrec.outputs import write_new
from genrec.runs import CONFIG, FIT, write_text
from genrec.types import Batch


class SaveConfig(SaveConfigCallback):
    """Writes the whole config into a new run's folder; a run that is resumed keeps the one it started with.

    A method that has nothing to train is in its run by its config alone: for it, a test is where a run starts.
    """

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """See `SaveConfigCallback.save_config`."""
        assert isinstance(pl_module, RankingModule)
        path = Path(trainer.default_root_dir) / CONFIG
        if (stage == "fit" or not pl_module.learns) and not path.exists():
            write_text(path, self.parser.dump(self.config, skip_none=False))


class Throughput(L.Callback):
    """Logs training examples per second, and keeps the seconds of the fit: with its validations, and without.

    The seconds are in every checkpoint, so that a resumed fit goes on counting, and in ``fit.json`` of the run's folder
    when the fit ends.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.training_seconds = 0.0
        self.examples = 0
        self._evaluation = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Seconds and examples so far."""
        return {"seconds": self.seconds, "training_seconds": self.training_seconds, "examples": self.examples}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting where the checkpoint stopped."""
        self.seconds, self.examples = state_dict["seconds"], state_dict["examples"]
        self.training_seconds = state_dict["training_seconds"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock of an epoch that is resumed in its middle: it does not start once more."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._start = time.perf_counter()
        self._evaluation = 0.0
        self._examples = 0

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember when the training was interrupted."""
        self._interrupted = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validation is no training."""
        self._evaluation += time.perf_counter() - self._interrupted

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count the batch's examples, on all processes."""
        assert isinstance(pl_module, RankingModule)
        self._examples += pl_module.examples(batch) * trainer.world_size

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the speed of the epoch's training."""
        seconds = time.perf_counter() - self._start
        self.seconds += seconds
        self.training_seconds += seconds - self._evaluation
        self.examples += self._examples
        pl_module.log("train/examples_per_second", self._examples / (seconds - self._evaluation), rank_zero_only=True)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write ``fit.json``."""
        if trainer.is_global_zero and self.seconds:
            speed = self.examples / self.training_seconds
            record = {**self.state_dict(), "examples_per_second": speed, "epochs": trainer.current_epoch}
            write_text(Path(trainer.default_root_dir) / FIT, json.dumps(record, indent=2) + "\n")


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
    keys, titles = catalog.keys, catalog.titles
    return pl.DataFrame(
        {
            "user": [module.dataset.users[user] for user in users.repeat(k).tolist()],
            "rank": list(range(1, k + 1)) * len(users),
            "item": [keys[item] for item in items.ravel().tolist()],
            "title": [titles[item] for item in items.ravel().tolist()],
            "score": scores.ravel(),
        }
    )

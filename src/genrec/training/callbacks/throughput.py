"""How fast a fit was, and what it was made of: ``fit.json`` of a run."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import lightning as L

from genrec.io.files import write_text
from genrec.io.versions import commit
from genrec.runs.layout import FIT
from genrec.types import Batch


class Throughput(L.Callback):
    """Logs training examples per second, and keeps the seconds of the fit: with its validations, and without.

    The seconds are in every checkpoint, so that a resumed fit goes on counting, and in ``fit.json`` of the run's folder
    when the fit ends. So are the batch, the processes and the precision of the training; of a fit that was resumed with
    others, one after the other.
    """

    def __init__(self) -> None:
        self.training: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.training_seconds = 0.0
        self.examples = 0
        self._start: float | None = None
        self._interrupted: float | None = None

    def state_dict(self) -> dict[str, Any]:
        """Seconds and examples so far, and how they were trained."""
        self._count()
        counted = {"seconds": self.seconds, "training_seconds": self.training_seconds, "examples": self.examples}
        return {**counted, "training": self.training}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting where the checkpoint stopped."""
        self.seconds, self.examples = state_dict["seconds"], state_dict["examples"]
        self.training_seconds, self.training = state_dict["training_seconds"], list(state_dict["training"])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock of an epoch that is resumed in its middle: it does not start once more."""
        self._start = time.perf_counter()
        self._before = self.examples, self.training_seconds
        if (now := training_of(trainer)) not in self.training[-1:]:
            self.training.append(now)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember what is to be subtracted from the counts for the epoch's own."""
        self._count()
        self._before = self.examples, self.training_seconds

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember when the training was interrupted."""
        self._count()
        self._interrupted, self._start = self._start, None

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validation is no training."""
        if self._interrupted is not None:
            self._start = time.perf_counter()
            self.seconds += self._start - self._interrupted
            self._interrupted = None

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count the batch's examples, on all processes."""
        self.examples += batch.examples * trainer.world_size

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the speed of the epoch's training."""
        self._count()
        examples, seconds = self.examples - self._before[0], self.training_seconds - self._before[1]
        pl_module.log("train/examples_per_second", examples / seconds, rank_zero_only=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop the clock."""
        self._count()
        self._start = None

    def _count(self) -> None:
        """Add the seconds of training since the last time."""
        if self._start is not None:
            now = time.perf_counter()
            self.seconds += now - self._start
            self.training_seconds += now - self._start
            self._start = now

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write ``fit.json``."""
        if trainer.is_global_zero and self.seconds and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            speed = self.examples / self.training_seconds
            record = {**self.state_dict(), "examples_per_second": speed, "epochs": trainer.current_epoch}
            record["commit"] = commit()
            write_text(Path(trainer.default_root_dir) / FIT, json.dumps(record, indent=2) + "\n")


def training_of(trainer: L.Trainer) -> dict[str, Any]:
    """What a step of a training is made of, and how it is computed.

    ``batch`` counts what the data module counts (`SequenceData.batch_size`), over a whole step: its accumulated batches
    and all processes.
    """
    per_process = trainer.datamodule.batch_size  # type: ignore[attr-defined]
    return {
        "batch": per_process * trainer.accumulate_grad_batches * trainer.world_size,
        "batch_per_process": per_process,
        "accumulated": trainer.accumulate_grad_batches,
        "processes": trainer.world_size,
        "nodes": trainer.num_nodes,
        "precision": str(trainer.precision),
    }

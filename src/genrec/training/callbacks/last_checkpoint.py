"""The last state of a training on disk, in time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from genrec.io.stopping import wait_for_step
from genrec.runs.layout import OF_SLURM


class LastCheckpoint(Checkpoint):
    """Keeps the last state: of every epoch and validation, every so often, and when the process is asked to end.

    Lightning's own ``save_last`` keeps the last of the BEST: a resumed run would repeat all epochs since then.

    Args:
        path: the file.
        minutes: write it, too, when so many minutes have passed since the last time.
        steps: write it, too, when so many steps have been made since the last time.
    """

    def __init__(self, path: Path, minutes: float | None = None, steps: int | None = None) -> None:
        self.path = path
        self.minutes = minutes
        self.steps = steps

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock; from here on there is something to be kept."""
        self._step, self._time = trainer.global_step, time.monotonic()
        wait_for_step(True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """All is kept."""
        wait_for_step(False)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write if it is time; not between the batches of a step, whose gradients no checkpoint holds."""
        # What follows the last batch of an epoch belongs to it, and is written then.
        if not trainer.fit_loop._should_accumulate() and not trainer.is_last_batch and self._is_due(trainer):
            self._save(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write after a validation in the middle of an epoch."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking and not trainer.is_last_batch:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write after an epoch."""
        self._save(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Write when the process is asked to end, which Lightning tells between two batches."""
        if isinstance(exception, SIGTERMException) and not trainer.sanity_checking:
            if trainer.validating:
                # Half a validation cannot go on: with its first batch begun and none done, it starts anew.
                progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
                progress.reset()
                progress.increment_ready()
                progress.increment_started()
            self._save(trainer)
        wait_for_step(False)

    def _is_due(self, trainer: L.Trainer) -> bool:
        if self.steps is not None and trainer.global_step - self._step >= self.steps:
            return True
        if self.minutes is None:
            return False
        # The clocks of several processes differ, and all of them have to take part.
        return bool(trainer.strategy.broadcast(time.monotonic() - self._time >= 60 * self.minutes))

    def _save(self, trainer: L.Trainer) -> None:
        if trainer.fast_dev_run or trainer.global_step == self._step:  # type: ignore[attr-defined]
            return
        trainer.save_checkpoint(self.path, weights_only=False)
        self._step, self._time = trainer.global_step, time.monotonic()
        if trainer.is_global_zero:
            # Lightning would prefer it, however old.
            for superseded in Path(trainer.default_root_dir).glob(OF_SLURM):
                superseded.unlink()

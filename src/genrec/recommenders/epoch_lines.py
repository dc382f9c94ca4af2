"""What a training tells who waits for it, where no progress bar is seen."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, RichProgressBar

from genrec.types import Batch


class EpochLines(L.Callback):
    """Prints a line per validation where no progress bar is seen: it was switched off, or there is no terminal.

    ``epoch 1: train/loss 8.412, val/loss 8.120, val/ndcg@10 0.0083 (best), 132 s``: the mean loss of the batches since
    the last line (of the first process), the metric that decides which checkpoint is kept, and the seconds since the
    training began. A validation in the middle of an epoch makes it ``epoch 0.25``. An epoch that ends without one has a
    line of its training alone.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Find out whether there is a bar to be seen."""
        bar = trainer.progress_bar_callback
        # Into a file it prints nothing but its last state, when all is over.
        useless = isinstance(bar, RichProgressBar) and not sys.stdout.isatty()
        if bar and useless:
            bar.disable()
        self._wanted = stage == "fit" and (bar is None or useless)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock; a fit that is resumed knows its best."""
        chosen_by = (point for point in trainer.checkpoint_callbacks if isinstance(point, ModelCheckpoint))
        self._chosen_by = next((point for point in chosen_by if point.monitor), None)
        best = self._chosen_by.best_model_score if self._chosen_by else None
        self._best = None if best is None else float(best)
        self._start = time.monotonic()
        self._epoch = float(trainer.current_epoch)
        self._loss, self._batches = torch.zeros((), device=pl_module.device), 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Add the loss where it is: to look at it, a GPU would have to be waited for."""
        self._epoch = trainer.current_epoch + (batch_idx + 1) / trainer.num_training_batches
        if self._wanted and outputs:
            # Lightning has divided it by the batches of a step.
            self._loss += outputs["loss"].detach() * trainer.accumulate_grad_batches
            self._batches += 1

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The line of a validation."""
        if self._wanted and not trainer.sanity_checking:
            metrics = trainer.callback_metrics
            monitor = self._chosen_by.monitor if self._chosen_by else None
            parts = [f"val/loss {metrics['val/loss']:.3f}"] if "val/loss" in metrics and monitor != "val/loss" else []
            if monitor in metrics:
                best = " (best)" if self._is_best(float(metrics[monitor])) else ""
                parts.append(f"{monitor} {metrics[monitor]:.4f}{best}")
            self._tell(trainer, parts)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The line of an epoch that did not end with a validation."""
        if self._wanted and self._batches:
            self._tell(trainer, [])

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tell a training that was stopped from one that came to its end."""
        stopping = trainer.early_stopping_callback
        if self._wanted and trainer.is_global_zero and isinstance(stopping, EarlyStopping) and stopping.stopped_epoch:
            times = "1 validation" if stopping.patience == 1 else f"{stopping.patience} validations"
            print(f"stopped: {stopping.monitor} was no better in {times}", flush=True)

    def _is_best(self, value: float) -> bool:
        assert self._chosen_by is not None
        sign = 1 if self._chosen_by.mode == "max" else -1
        better = self._best is None or sign * value > sign * self._best
        if better:
            self._best = value
        return better

    def _tell(self, trainer: L.Trainer, parts: Sequence[str]) -> None:
        if self._batches:
            parts = [f"train/loss {self._loss / self._batches:.3f}", *parts]
            self._loss, self._batches = torch.zeros_like(self._loss), 0
        if trainer.is_global_zero:
            seconds = time.monotonic() - self._start
            print(f"epoch {round(self._epoch, 2):g}: {', '.join([*parts, f'{seconds:.0f} s'])}", flush=True)

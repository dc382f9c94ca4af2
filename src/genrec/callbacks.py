"""What a run writes down beside checkpoints and logs (config, predictions), and what it tells who waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import polars as pl
import torch
import yaml
from lightning.pytorch.callbacks import (
    BasePredictionWriter,
    EarlyStopping,
    ModelCheckpoint,
    RichModelSummary,
    RichProgressBar,
)
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.utilities.model_summary import get_human_readable_count
from rich import get_console
from rich.table import Table
from torch import Tensor

from genrec.checkpoints import FinalValidation
from genrec.continuation import Continuation
from genrec.evaluation import RankingModule
from genrec.outputs import write_new
from genrec.report.variants import flat
from genrec.runs import CONFIG, write_text
from genrec.throughput import Throughput
from genrec.types import Batch


class SaveConfig(SaveConfigCallback):
    """Writes the whole config into a new run's folder; a run that is resumed keeps the one it started with.

    Loggers have it as hyper-parameters.

    A method that has nothing to train is in its run by its config alone: for it, a test is where a run starts.
    """

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """See `SaveConfigCallback.save_config`."""
        assert isinstance(pl_module, RankingModule)
        path = Path(trainer.default_root_dir) / CONFIG
        text = self.parser.dump(self.config, skip_none=False)
        if (stage == "fit" or not pl_module.learns) and not path.exists():
            write_text(path, text)
        if stage == "fit":
            for logger in trainer.loggers:
                logger.log_hyperparams(flat(yaml.safe_load(text)))


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


class ModelSummary(RichModelSummary):
    """The model's parts and their parameters: Lightning's table without the FLOPs, which are not counted."""

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: dict[str, int],
        total_flops: int,
        **summarize_kwargs: Any,
    ) -> None:
        """See `RichModelSummary.summarize`; the size is in MB."""
        columns = {name.strip(): rows for name, rows in summary_data if name not in ("Mode", "FLOPs")}
        table = Table(*columns)
        for row in zip(*columns.values(), strict=True):
            table.add_row(*row)
        get_console().print(table)
        total, trained = (get_human_readable_count(count).strip() for count in (total_parameters, trainable_parameters))
        print(f"parameters: {total} ({model_size:,.1f} MB), {trained} of them trained", flush=True)


def with_ours(callbacks: Sequence[L.Callback]) -> list[L.Callback]:
    """Callbacks of a trainer, our summary in the place of Lightning's, and behind them those that every run has."""
    summary = [ModelSummary() if type(callback) is RichModelSummary else callback for callback in callbacks]
    return [*summary, FinalValidation(), Continuation(), Throughput(), EpochLines()]


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

"""The part of a search that lives in the training: it tells how validation goes, and stops what is behind."""

from __future__ import annotations

from pathlib import Path

import lightning as L
from lightning.pytorch.trainer.states import TrainerFn

from genrec.study.journal import PRUNED, open_study, trial_of


class Pruning(L.Callback):
    """Reports every validation of a trial, and stops its training if the median of the others was better by then.

    A validation without a training is the whole of its trial, and nothing is left to stop.

    Args:
        folder: of the search.
        number: of the trial.
        monitor: the metric.
    """

    def __init__(self, folder: str, number: int, monitor: str) -> None:
        self.folder = Path(folder)
        self.number = number
        self.monitor = monitor
        self._validations = 0

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report, and decide; a metric that was not measured is none of the trial's."""
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        fits = trainer.state.fn == TrainerFn.FITTING
        value = float(trainer.callback_metrics[self.monitor])
        behind = trainer.is_global_zero and self._is_behind(value, fits)
        if trainer.strategy.broadcast(behind):
            trainer.should_stop = True

    def _is_behind(self, value: float, fits: bool) -> bool:
        trial = trial_of(open_study(self.folder), self.number)
        trial.report(value, self._validations)
        self._validations += 1
        if not (fits and trial.should_prune()):
            return False
        trial.set_user_attr(PRUNED, True)
        return True

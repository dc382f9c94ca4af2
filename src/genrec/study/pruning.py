"""The part of a search that lives in the training: it tells how validation goes, and stops what is behind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import lightning as L
import optuna
from optuna.storages.journal import JournalFileBackend

JOURNAL = "journal.log"
PRUNED = "pruned"


def open_study(folder: Path, mode: str | None = None) -> optuna.Study:
    """The search of a folder, whose journal outlives the processes that write it.

    Args:
        folder: where the journal is; its name is that of the search.
        mode: begin a new one if there is none, for the largest (``max``) or smallest (``min``) value.
    """
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    # The median of the trials before: the first five run to their end.
    pruner = optuna.pruners.MedianPruner()
    if mode:
        direction = optuna.study.StudyDirection.MINIMIZE if mode == "min" else optuna.study.StudyDirection.MAXIMIZE
        return optuna.create_study(
            storage=storage, study_name=folder.name, pruner=pruner, direction=direction, load_if_exists=True
        )
    return optuna.load_study(storage=storage, study_name=folder.name, pruner=pruner)


def best_of(study: optuna.Study, values: Iterable[float]) -> float | None:
    """The best of a trial's validations, by the direction of its search; None if there are none."""
    smaller = study.direction == optuna.study.StudyDirection.MINIMIZE
    return min(values, default=None) if smaller else max(values, default=None)


def trial_of(study: optuna.Study, number: int) -> optuna.Trial:
    """A trial that has been begun, by its number."""
    return optuna.Trial(study, study.trials[number]._trial_id)


class Pruning(L.Callback):
    """Reports every validation of a trial, and stops its training if the median of the others was better by then.

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
        """Report, and decide."""
        behind = trainer.is_global_zero and self._is_behind(float(trainer.callback_metrics[self.monitor]))
        if trainer.strategy.broadcast(behind):
            trainer.should_stop = True

    def _is_behind(self, value: float) -> bool:
        trial = trial_of(open_study(self.folder), self.number)
        trial.report(value, self._validations)
        self._validations += 1
        if not trial.should_prune():
            return False
        trial.set_user_attr(PRUNED, True)
        return True

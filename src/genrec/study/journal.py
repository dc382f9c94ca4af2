"""The journal of a search: its trials, on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from genrec.errors import GenrecError
from genrec.io.files import write_over

JOURNAL = "journal.log"
PRUNED = "pruned"


def mend(folder: Path) -> None:
    """Take away what a process that was killed has half written: what is added would stand in the same line.

    Raises:
        GenrecError: if the journal is damaged elsewhere.
    """
    path = folder / JOURNAL
    if not path.is_file():
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        *whole, rest = path.read_bytes().split(b"\n")
        for number, line in enumerate(whole, 1):
            try:
                json.loads(line)
            except ValueError as error:
                raise GenrecError(
                    f"{path}, line {number}: not valid JSON ({error}): remove it, or move {folder} away to begin anew"
                ) from error
        if rest:
            write_over(path, lambda unfinished: unfinished.write_bytes(b"\n".join([*whole, b""])))
            print(f"{path}: its last line is not whole, and was taken away")
    finally:
        lock.release()


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

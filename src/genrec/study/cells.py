"""The cells of a study on disk: how far each has come, and what is left to do.

``<study>/<config>/<variant>/seed42/`` is a folder of runs as every other one. Beside the runs it keeps the config of
the cell, ``seed42.yaml``, with which the commands work by hand too, and what they printed, ``fit.log`` and
``test.log``. A run belongs to its cell by the settings of its ``config.yaml``: one that was made by hand and moved here
counts.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import yaml

from genrec.config.files import load_config
from genrec.config.settings import changes
from genrec.errors import GenrecError
from genrec.evaluation.protocol import Measure
from genrec.io.files import write_text
from genrec.recommenders.base import learns
from genrec.runs import layout
from genrec.runs.restoring import is_whole, to_resume
from genrec.runs.results import read_results
from genrec.study.plan import Cell, Plan, flags
from genrec.study.processes import Execute
from genrec.study.settings import Resolve

Step = Literal["to run", "to resume", "to test", "done"]
TRAINS: Step = "to run"
RESUMES: Step = "to resume"
TESTS: Step = "to test"
DONE: Step = "done"


@dataclass(frozen=True)
class Job:
    """A cell with its place and its settings.

    Args:
        cell: what it is.
        folder: of its runs.
        settings: its whole config.
        learns: whether it is trained; otherwise there is nothing to learn, or another cell learns it.
        trained_by: the cell whose checkpoint is tested, if it is another one.
    """

    cell: Cell
    folder: Path
    settings: Mapping[str, Any]
    learns: bool
    trained_by: Job | None = None


class State(NamedTuple):
    """How far a cell has come.

    Args:
        step: what is to be done next.
        run: the run that has come so far.
        changed: what its newest run differs in, where none has the settings of the cell.
        damaged: a file that is damaged or missing, for which its newest run is of no use.
        missing: what the cell measures, and the test of its run did not.
    """

    step: Step
    run: Path | None
    changed: Sequence[str] = ()
    damaged: Path | None = None
    missing: Sequence[str] = ()


class Failure(NamedTuple):
    """Why a cell could not be finished.

    Args:
        reason: one line.
        log: the file with the rest.
    """

    reason: str
    log: Path


def make_jobs(plan: Plan, root: Path, extra: Sequence[str], resolve: Resolve) -> list[Job]:
    """The cells with their settings; of a recommender that learns nothing the first seed alone.

    Args:
        plan: the study.
        root: the folder of all studies.
        extra: arguments for every cell.
        resolve: makes a whole config of arguments, `genrec.study.settings.full_config`.

    Raises:
        GenrecError: if a config, key or value is wrong.
    """
    shared = [*flags({"trainer.enable_progress_bar": False, **plan.shared}), *extra]
    configs: dict[str, dict[str, Any]] = {}
    made: list[Job] = []
    for cell in plan.cells:
        new = cell.row not in configs
        if new:
            try:
                configs[cell.row] = resolve(["--config", str(cell.config), *shared, *flags(cell.keys)])
            except GenrecError as error:
                raise GenrecError(f"{plan.name}, {cell.row}: {error}") from error
        config = configs[cell.row]
        if not (new or learns(config["model"]["class_path"])):
            continue
        folder = root / plan.name / cell.name
        settings = {**config, "seed_everything": cell.seed, "runs": str(folder.parent)}
        if cell.trained_by and not learns(config["model"]["class_path"]):
            raise GenrecError(f"{cell.config.name} has nothing to train: `sweep` its keys, `retest` takes a checkpoint")
        trained_by = next((job for job in made if job.cell is cell.trained_by), None)
        made.append(
            Job(cell, folder, settings, learns(config["model"]["class_path"]) and trained_by is None, trained_by)
        )
    return made


def state(job: Job) -> State:
    """Look for the run that has come furthest with the settings of the cell; of several the newest."""
    found: dict[Path, list[str]] = {}
    unread: list[Path] = []
    trained = state(job.trained_by).run if job.trained_by else None
    for path in sorted(job.folder.glob(f"*/{layout.CONFIG}"), reverse=True):
        try:
            kept = load_config(str(path))
            if not kept:
                raise GenrecError(f"{path} is empty")
            found[path.parent] = changes(kept, job.settings)
            if trained and _tests_another(path.parent, trained):
                found[path.parent].append("the checkpoint, which was trained on, or anew")
        except GenrecError:
            unread.append(path)
    same = [run for run in found if not found[run]]
    tested = {run: missing for run in same if (missing := _unmeasured(run, job)) is not None}
    for run, missing in tested.items():
        if not missing:
            return State(DONE, run)
    # What was asked for since is measured of the checkpoint that is there; nothing is trained again for it.
    for run in same:
        if _has_come_to(TESTS, run, job):
            return State(TESTS, run, missing=tested.get(run, ()))
    for run, missing in tested.items():
        return State(DONE, run, missing=missing)
    for run in same:
        if _has_come_to(RESUMES, run, job):
            return State(RESUMES, run)
    if same:
        return State(TRAINS, None, damaged=_unusable(same[0]))
    if found:
        return State(TRAINS, None, next(iter(found.values())))
    return State(TRAINS, None, damaged=unread[0] if unread else None)


def _unmeasured(run: Path, job: Job) -> list[str] | None:
    """What the cell asks for and the test of a run has not measured; None if there are no results that can be read."""
    if not (run / layout.METRICS).is_file():
        return None
    try:
        settings = read_results(run / layout.METRICS)["settings"]
    except GenrecError:
        return None
    measure = job.settings.get("measure")
    return Measure(**measure).missing(settings) if measure else []


def _has_come_to(step: Step, run: Path, job: Job) -> bool:
    checkpoints = run / layout.CHECKPOINTS
    finished = (run / layout.FIT).is_file()
    if _damaged(run):
        # Its last checkpoint in the place of the best would be measured otherwise than the other cells.
        return False
    if not job.learns:
        return step == TESTS and (job.trained_by is None or (checkpoints / layout.BEST).is_file())
    if step == TESTS:
        return finished and (checkpoints / layout.BEST).is_file()
    return not finished and (checkpoints / layout.LAST).is_file() and to_resume(run)[0] is not None


def _tests_another(run: Path, trained: Path) -> bool:
    """Whether a run holds another checkpoint than the training that it is of; what is not there cannot tell."""
    ours, theirs = (place / layout.CHECKPOINTS / layout.BEST for place in (run, trained))
    if not (ours.exists() and theirs.exists()) or ours.samefile(theirs):
        return False
    return not filecmp.cmp(ours, theirs, shallow=False)


def _damaged(run: Path) -> Path | None:
    best = run / layout.CHECKPOINTS / layout.BEST
    return best if best.exists() and not is_whole(best) else None


def _unusable(run: Path) -> Path | None:
    """The file for which a run of the cell's settings is of no use, if it is for one."""
    best = run / layout.CHECKPOINTS / layout.BEST
    return _damaged(run) or (best if (run / layout.FIT).is_file() and not best.exists() else None)


def perform(job: Job, lock: IO[str], execute: Execute) -> Failure | None:
    """Do what is left to do.

    Args:
        job: a cell that this process has claimed.
        lock: of the claim.
        execute: runs a command, `genrec.study.processes.execute`.
    """
    config = job.folder / f"{job.folder.name}.yaml"
    write_text(config, yaml.safe_dump(dict(job.settings), sort_keys=False))
    now = state(job)
    if now.step in (TRAINS, RESUMES):
        failure = _fit(job, now, config, lock, execute) if job.learns else _place(job)
        if failure:
            return failure
        now = state(job)
    if now.step == TESTS and now.run:
        log = job.folder / "test.log"
        # The run's own config says which run is meant; the cell's, where the data are now.
        own = now.run / layout.CONFIG
        if reason := execute(["test", "--config", str(own), "--config", str(config)], log, lock):
            return Failure(f"test: {reason}", log)
        now = state(job)
    return None if now.step == DONE else Failure("it ended without results", job.folder / "fit.log")


def _fit(job: Job, now: State, config: Path, lock: IO[str], execute: Execute) -> Failure | None:
    log = job.folder / "fit.log"
    arguments = ["fit", "--config", str(config)]
    if now.run:
        arguments = ["fit", "--config", str(now.run / layout.CONFIG), "--config", str(config), "--ckpt_path", "last"]
    reason = execute(arguments, log, lock)
    return Failure(f"fit: {reason}", log) if reason else None


def _place(job: Job) -> Failure | None:
    """Make the run of a cell that trains nothing, with the checkpoint of the one that did."""
    best = None
    if job.trained_by:
        now = state(job.trained_by)
        if now.step in (TRAINS, RESUMES):
            reason = f"{job.trained_by.cell.name} has not been trained to its end"
            return Failure(reason, job.trained_by.folder / "fit.log")
        trained = now.run
        best = trained and trained / layout.CHECKPOINTS / layout.BEST
        if best is None or not best.is_file():
            remedy = f": remove {trained}, and the same command trains it again" if trained else ""
            return Failure(f"{job.trained_by.cell.name} has no checkpoint{remedy}", job.trained_by.folder / "fit.log")
        if not is_whole(best):
            reason = f"{best} is damaged: remove {trained}, and the same command trains it again"
            return Failure(reason, job.trained_by.folder / "fit.log")
    run = layout.new_run(job.folder.parent, job.folder.name)
    (run / layout.CHECKPOINTS).mkdir()
    if best:
        place = run / layout.CHECKPOINTS / layout.BEST
        try:
            # A second name of the same file: it takes no room, and outlives the other.
            os.link(best, place)
        except OSError:  # not on every file system, nor from one to another
            shutil.copyfile(best, place)
    write_text(run / layout.CONFIG, yaml.safe_dump(dict(job.settings), sort_keys=False))
    return None


def describe(now: State) -> str:
    """A state in words."""
    if now.damaged:
        return f"to run anew, {now.damaged} is {'damaged' if now.damaged.exists() else 'missing'}"
    if now.missing:
        what = ", ".join(now.missing)
        without = f"without {what}, and without a checkpoint to measure it of"
        return f"to test again, for {what}" if now.step == TESTS else f"{DONE}, {without}"
    if not now.changed:
        return now.step
    more = f" and {len(now.changed) - 1} more" if len(now.changed) > 1 else ""
    return f"to run anew, its settings have changed ({now.changed[0]}{more})"

"""``genrec study STUDY.yaml``: every cell of a study is run, the table of them all printed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from genrec.config.options import Options
from genrec.runs import layout
from genrec.study.cells import DONE, Execute, Failure, Job, Resolve, describe, make_jobs, perform, state
from genrec.study.plan import STUDIES, load_plan
from genrec.study.processes import claim, claimed, execute, stoppable
from genrec.study.results import show_results
from genrec.study.settings import full_config


def study(arguments: Sequence[str], resolve: Resolve = full_config, execute: Execute = execute) -> None:
    """Run what is missing of a study, one cell after the other, and print its table.

    Finished cells are left alone and killed ones go on from their last checkpoint. Several processes may work on one
    study; each takes what nobody else has taken.

    Args:
        arguments: of the command line.
        resolve: makes a whole config of arguments.
        execute: runs a command.

    Raises:
        GenrecError: if the study, a config, a key or a value is wrong; before anything is run.
        SystemExit: with code 1 if a cell failed.
    """
    options = Options("study", "Run a study; arguments after its name, such as --data.root DIR, are for every cell.")
    options.add_argument("study", metavar="STUDY", help="a yaml, or the name of a packaged one")
    options.add_argument("--studies", default=STUDIES, metavar="DIR", help="the folder of all studies (%(default)s)")
    options.add_argument("--dry-run", action="store_true", help="list the cells and how far they are, run nothing")
    chosen, extra = options.parse_known_args(arguments)
    plan = load_plan(chosen.study)
    print(f"{plan.name}: checking the settings of {len({cell.row for cell in plan.cells})} rows ...", flush=True)
    jobs = make_jobs(plan, Path(chosen.studies), extra, resolve)
    if chosen.dry_run:
        for job in jobs:
            now = state(job)
            print(f"{job.cell.name:48} {'running' if claimed(job.folder) else describe(now)} {now.run or ''}".rstrip())
        return
    with stoppable():
        failed = _work(jobs, execute)
    show_results(plan, jobs, Path(chosen.studies) / plan.name)
    if failed:
        print(f"{len(failed)} of {len(jobs)} cells failed; the same command tries them again:", file=sys.stderr)
        for job, failure in failed:
            print(f"  {job.cell.name}: {failure.reason} (see {failure.log})", file=sys.stderr)
        sys.exit(1)


def _work(jobs: Sequence[Job], execute: Execute) -> list[tuple[Job, Failure]]:
    """Go through the cells once."""
    failed = []
    progress = _Progress(jobs)
    for number, job in enumerate(jobs, 1):
        with claim(job.folder) as lock:
            # Another process may have finished it since the study began.
            now = state(job)
            if now.step == DONE:
                continue
            print(f"[{number}/{len(jobs)}] {job.cell.name}", end=" ", flush=True)
            if lock is None:
                print("is being run by another process")
                continue
            print(f"({describe(now)})", end=" ... ", flush=True)
            start = time.perf_counter()
            failure = perform(job, lock, execute)
            if failure:
                failed.append((job, failure))
                print(f"FAILED after {time.perf_counter() - start:,.0f} s: {failure.reason} (see {failure.log})")
            else:
                progress.add(job, time.perf_counter() - start)
                print(f"{time.perf_counter() - start:,.0f} s{progress.rest(jobs[number:])}", flush=True)
    return failed


class _Progress:
    """Knows how long cells take, and guesses how long the rest will.

    Args:
        jobs: the study's; what is finished was timed by itself.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.taken: dict[tuple[str, bool], list[float]] = {}
        for job in jobs:
            now = state(job)
            if now.step == DONE and now.run:
                taken = json.loads((now.run / layout.METRICS).read_text(encoding="utf-8"))["seconds"]
                self.add(job, float((job.learns and taken.get("fit")) or 0) + float(taken["rank"]))

    def add(self, job: Job, seconds: float) -> None:
        """Note how long a cell took."""
        self.taken.setdefault(_kind(job), []).append(seconds)

    def rest(self, jobs: Sequence[Job]) -> str:
        """In words: cells like those that were timed take as long, others as the mean of all."""
        todo = [job for job in jobs if state(job).step != DONE]
        if not todo:
            return ""
        known = [seconds for taken in self.taken.values() for seconds in taken]
        guesses = [self.taken.get(_kind(job), known) for job in todo]
        minutes = sum(sum(guess) / len(guess) for guess in guesses) / 60
        return f"; {len(todo)} more, about {minutes:,.0f} minutes" if minutes >= 1 else f"; {len(todo)} more"


def _kind(job: Job) -> tuple[str, bool]:
    """Cells of a kind take about the same time."""
    return job.cell.row if job.learns else job.cell.config.stem, job.learns

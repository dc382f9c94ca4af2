"""The cells of a study, one after the other."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from genrec.runs import layout
from genrec.study.cells import DONE, Failure, Job, describe, perform, state
from genrec.study.plan import Plan
from genrec.study.processes import Execute, claim, claimed, stoppable
from genrec.study.results import show_results


def list_cells(jobs: Sequence[Job]) -> None:
    """Print how far every cell is."""
    for job in jobs:
        now = state(job)
        print(f"{job.cell.name:48} {'running' if claimed(job.folder) else describe(now)} {now.run or ''}".rstrip())


def run_cells(plan: Plan, jobs: Sequence[Job], folder: Path, execute: Execute) -> bool:
    """Run what is missing, and print the table; whether all went well.

    Args:
        plan: the study.
        jobs: its cells.
        folder: of the study.
        execute: runs a command.
    """
    with stoppable():
        failed = _work(jobs, execute)
    show_results(plan, jobs, folder)
    if failed:
        print(f"{len(failed)} of {len(jobs)} cells failed; the same command tries them again:", file=sys.stderr)
        for job, failure in failed:
            print(f"  {job.cell.name}: {failure.reason} (see {failure.log})", file=sys.stderr)
    return not failed


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
            if job.trained_by and claimed(job.trained_by.folder):
                print(f"waits for {job.trained_by.cell.name}, which is being run by another process")
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

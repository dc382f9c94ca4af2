"""Where runs live: ``runs/<name>/<timestamp>/`` with config, checkpoints, logs and results. Nothing is overwritten."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from genrec.errors import GenrecError

CHECKPOINTS = "checkpoints"
BEST = "best.ckpt"
LAST = "last.ckpt"
CONFIG = "config.yaml"
FIT = "fit.json"
METRICS = "metrics.json"
RANKS = "ranks.parquet"
LOCK = ".lock"
VALIDATION = "validation.json"
OF_SLURM = "hpc_ckpt_*.ckpt"
"""What Lightning writes into a run's folder when SLURM is about to requeue its job."""


def new_run(root: Path, name: str) -> Path:
    """The folder of a new run, created; two runs that start within one second get different ones."""
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    for number in range(1000):
        run = root / name / (stamp if number == 0 else f"{stamp}.{number}")
        try:
            run.mkdir(parents=True)
        except FileExistsError:
            continue
        return run
    raise GenrecError(f"cannot make a new run folder under {root / name}")


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Let nobody else train in a run meanwhile; whoever is killed holds it no longer.

    Raises:
        GenrecError: if somebody does, or nothing can be written there.
    """
    lock = FileLock(run / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise GenrecError(f"another process trains in {run}: wait for it to end, or stop it") from error
    except OSError as error:
        raise GenrecError(f"cannot write into `{run}`: {error.strerror or error}") from error
    try:
        yield
    finally:
        # Before it is given up: what is waited for is another file then.
        (run / LOCK).unlink(missing_ok=True)
        lock.release()


def clear(run: Path) -> None:
    """Remove what a training that was killed in the middle of a file has left of it; nobody else trains in the run."""
    for pattern in (f"{CHECKPOINTS}/.*", f".{CONFIG}.*", f".{FIT}.*"):
        for unfinished in run.glob(pattern):
            unfinished.unlink()


def missing(folder: Path) -> list[Path]:
    """The folder and those above it, as far as they are not there."""
    return [part for part in (folder, *folder.parents) if not part.exists()]


def remove_if_empty(folders: Iterable[Path]) -> None:
    """Leave nothing of a run that failed before it wrote anything.

    Args:
        folders: its own first, then those above it that were made for it.
    """
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def newest_run(folder: Path, file: str) -> Path | None:
    """The run of a folder, if it holds a file, or else the run right below it that wrote the file last."""
    if (folder / file).is_file():
        return folder
    found = sorted(folder.glob(f"*/{file}"), key=lambda path: path.stat().st_mtime_ns)
    return found[-1].parents[len(Path(file).parts) - 1] if found else None


def run_of(checkpoint: Path) -> Path | None:
    """The run that a checkpoint belongs to, if it lies in one."""
    return checkpoint.parent.parent if checkpoint.parent.name == CHECKPOINTS else None

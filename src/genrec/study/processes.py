"""A command in a process of its own, and a lock that says who works on a folder."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

LOCK = ".lock"
LOOKS = (0.01, 0.03, 0.1)
"""Seconds between tries to take a folder."""
Execute = Callable[[Sequence[str], Path, IO[str]], str | None]
"""Runs a command, as `execute` does."""


def execute(arguments: Sequence[str], log: Path, lock: IO[str]) -> str | None:
    """Run ``genrec`` with these arguments, and wait.

    Args:
        arguments: of the command line.
        log: what it prints is added here.
        lock: of `claim`. The process holds it too: where this one is killed and the other lives on, nobody starts the
            same work beside it.

    Returns:
        the last line of its error; None if it ended well.
    """
    command = [sys.executable, "-m", "genrec", *arguments]
    with log.open("a", encoding="utf-8") as out:
        code = _wait(subprocess.Popen(command, stdin=lock, stdout=out, stderr=subprocess.STDOUT))
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    if code:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), f"exit code {code}")
    return None


def _wait(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a process; where this one is asked to end, that one is too, and keeps what it has come to."""
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[IO[str] | None]:
    """Take a folder, which is made; None if another process has it. The system frees it when its holders have ended."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w", encoding="utf-8") as lock:
        # Who only looks has it for a moment, too.
        for wait in (*LOOKS, None):
            if _locked(lock, fcntl.LOCK_EX):
                yield lock
                return
            if wait is not None:
                time.sleep(wait)
        yield None


def claimed(folder: Path) -> bool:
    """Whether a process has a folder; nothing is made. Several may look at once."""
    try:
        with (folder / LOCK).open(encoding="utf-8") as lock:
            return not _locked(lock, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _locked(lock: IO[str], how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Say of one who stops this process how he goes on, in one line instead of a traceback."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as asked:
        print("\nstopped: the same command goes on from here", file=sys.stderr)
        if isinstance(asked, KeyboardInterrupt):
            sys.exit(130)
        raise

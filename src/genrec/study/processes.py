"""A command in a process of its own, and a lock that says who works on a folder."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

LOCK = ".lock"


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
        done = subprocess.run(command, stdin=lock, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode < 0:
        return f"killed by {signal.Signals(-done.returncode).name}"
    if done.returncode:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), f"exit code {done.returncode}")
    return None


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[IO[str] | None]:
    """Take a folder, which is made; None if another process has it. The system frees it when its holders have ended."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield lock


def claimed(folder: Path) -> bool:
    """Whether a process has a folder; nothing is made."""
    if not (folder / LOCK).exists():
        return False
    with claim(folder) as lock:
        return lock is None


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let a request to end this process end the one it waits for too, in one line instead of a traceback."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        print("\nstopped: the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, before)

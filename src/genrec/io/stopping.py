"""What a command does when it is asked to end (SIGTERM): nothing is left half-written, and the exit code is 143."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CODE = 128 + signal.SIGTERM
"""What shells call the end of a process by SIGTERM."""


class _Asked:
    """Whether this process was asked to end, and whether somebody else sees to it."""

    def __init__(self) -> None:
        self.is_so = False
        self.waits = False

    def __call__(self, number: int, frame: Any) -> None:
        if not self.waits:
            self.is_so = True
            sys.exit(CODE)


_asked = _Asked()


@contextmanager
def ends_when_asked() -> Iterator[None]:
    """End what is done meanwhile as an exception does, which clears away what it began, when this process is asked to.

    Who has a handler of his own for SIGTERM keeps it.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    _asked.is_so = _asked.waits = False
    signal.signal(signal.SIGTERM, _asked)
    try:
        yield
        if _asked.is_so:  # somebody caught the exception: in a destructor, none can be raised
            sys.exit(CODE)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def wait_for_step(wait: bool) -> None:
    """Whether a training ends itself behind the step that it is at, as Lightning lets it, and not at once."""
    _asked.waits = wait

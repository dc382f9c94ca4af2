"""Several processes at one address: each is a whole server, and the kernel gives every connection to one of them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def share(work: Callable[[], None], count: int) -> None:
    """Let processes of their own do the same work; all end when this one is asked to, or one of them ends.

    To be called before torch is there, or any thread: processes are forked.

    Args:
        work: until its process is asked to end.
        count: how many.

    Raises:
        SystemExit: with what the first of them ended with.
    """
    children = []
    sys.stdout.flush()
    for _ in range(count):
        child = os.fork()
        if child == 0:
            work()
            sys.exit(0)
        children.append(child)

    def pass_on(number: int, frame: Any) -> None:
        for child in children:
            os.kill(child, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    codes = []
    try:
        while children:
            child, status = os.wait()
            children.remove(child)
            codes.append(os.waitstatus_to_exitcode(status))
            for other in children:
                os.kill(other, signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    sys.exit(codes[0] if codes[0] >= 0 else 128 - codes[0])

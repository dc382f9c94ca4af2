"""Files that are whole or not there at all, and never take the place of an older one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from genrec.errors import GenrecError
from genrec.runs import set_aside


def write_new(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside the path, then move it there; an older file of that name is renamed.

    Args:
        path: the file; its folder is made. An older one becomes ``name.1.ext`` (see `genrec.runs.set_aside`).
        write: writes the contents into the file it is given, whose suffix is that of the path.

    Raises:
        GenrecError: if it cannot be written.
    """
    if path.is_dir():
        raise GenrecError(f"`{path}` is a folder: give the name of a file")
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(unfinished)
            unfinished.rename(set_aside(path))
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise GenrecError(f"cannot write `{path}`: {error.strerror or error}") from error

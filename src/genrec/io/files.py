"""Files that are whole or not there at all, and never take the place of an older one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from genrec.errors import GenrecError


def write_new(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside the path, then move it there; an older file of that name is renamed.

    Args:
        path: the file; its folder is made. An older one becomes ``name.1.ext`` (see `set_aside`).
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


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing, also when the process is killed in the middle."""
    write_over(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))


def write_over(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside the path, then have it take the place of an older one; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def beside(paths: Sequence[Path]) -> list[Path]:
    """Free names of one number, ``name.1.ext`` or a later one, beside files that stay where they are."""
    number = 1
    while any(numbered(path, number).exists() for path in paths):
        number += 1
    return [numbered(path, number) for path in paths]


def numbered(path: Path, number: int) -> Path:
    """``name.1.ext`` for ``name.ext``."""
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def set_aside(path: Path) -> Path:
    """Rename an older file of the same name to ``name.1.ext``, ``name.2.ext`` ..., and say so: ``path`` is free."""
    if path.exists():
        (older,) = beside([path])
        path.rename(older)
        print(f"{path} was there before: that is {older} now", file=sys.stderr)
    return path

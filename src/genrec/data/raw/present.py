"""Raw files that people have already: unpacked or not, under their own names or others."""

from __future__ import annotations

import ast
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from genrec.data.files.compressed import opened
from genrec.errors import GenrecError

LINE = 2**20
"""So much of a file's first line is looked at."""


def pick(folder: Path, names: Sequence[str], fits: Callable[[Path], bool], what: str) -> Path | None:
    """A file of a folder: by its name, packed or not; else the only one whose content fits.

    Args:
        folder: where it is.
        names: what it may be called, the best first.
        fits: whether a file is what is wanted.
        what: what is wanted, for the error.

    Raises:
        GenrecError: if there is no such folder, or several files fit.
    """
    for name in names:
        for variant in (name, name.removesuffix(".gz"), f"{name}.gz"):
            if (folder / variant).is_file():
                return folder / variant
    if not folder.is_dir():
        raise GenrecError(f"there is no folder `{folder}` (`files`)")
    found = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".") and fits(path))
    if len(found) > 1:
        raise GenrecError(
            f"`{folder}` holds several files that may be {what}: {', '.join(path.name for path in found)}; name the "
            f"right one {names[0]}"
        )
    return found[0] if found else None


def first_line(path: Path) -> str:
    """The beginning of a file, ``""`` where there is none that could be read."""
    try:
        with path.open("rb") as file, opened(file, str(path)) as content:
            return content.readline(LINE).decode("utf-8", "replace").strip()
    except (OSError, EOFError, GenrecError):
        return ""


def first_record(path: Path) -> dict[str, Any]:
    """The record of a file's first line, empty where there is none."""
    line = first_line(path)
    for reader in (json.loads, ast.literal_eval):
        try:
            record = reader(line)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        if isinstance(record, dict):
            return record
    return {}


def holds(archive: Path, names: Sequence[str]) -> bool:
    """Whether a file is an archive with members that have these last names."""
    try:
        with zipfile.ZipFile(archive) as contents:
            there = {PurePosixPath(name).name for name in contents.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return there >= set(names)

"""Where files are: below the data's root, beside it, in the working folder, at home, or on another machine."""

from __future__ import annotations

import glob
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec

from genrec.data.files.compressed import ENDINGS
from genrec.errors import GenrecError

PREPARED = "prepared"
"""The folder below that of the data where data sets are kept that were made of files."""


@dataclass(frozen=True)
class Part:
    """A file that can be opened.

    Args:
        name: its path or url, for errors.
        path: its path, if it lies on this machine.
        open: opens it for reading bytes.
        tag: what another machine says of it, such as size and time; another one if it changes.
    """

    name: str
    path: Path | None
    open: Callable[[], IO[bytes]]
    tag: str = ""

    @classmethod
    def local(cls, path: Path) -> Part:
        """A file of this machine."""
        return cls(str(path), path, lambda: path.open("rb"))

    @property
    def ending(self) -> str:
        """What its name says of its content, such as ``.csv`` of ``ratings.csv.gz``; in lower case."""
        pure = PurePosixPath(self.name.lower())
        return PurePosixPath(pure.stem).suffix if pure.suffix in ENDINGS and len(pure.suffixes) > 1 else pure.suffix


def find(name: str, root: Path) -> list[Part]:
    """The files that a name stands for: one, those of a folder, or those that fit a pattern; in order of their names.

    Names such as ``s3://bucket/log/*.parquet`` are looked up by fsspec, on whatever machine they mean. Others are
    looked for below the folder of the data, beside it, then in the working folder; beside ``data`` is the working
    folder itself, and still is when a run is loaded from another one. ``~`` is the home folder. In folders, files whose
    names begin with a dot or an underscore are none of the data, and neither is what was made of them (`PREPARED`).

    Raises:
        GenrecError: if there is no such file.
    """
    if not name.strip():
        raise GenrecError("the name of a file is empty: leave it out, or name the file")
    if "://" in name:
        return _remote(name)
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:
        raise GenrecError(f"`{name}`: {error}") from error
    for folder in (root, root.parent, Path()):
        found = _matching(folder, str(path), root / PREPARED)
        if found:
            return [Part.local(each) for each in found]
    kind = "file that fits" if glob.has_magic(name) else "file"
    places = (
        f" in `{root}`, beside it, or in the working folder `{Path.cwd()}`: --data.root names the folder of the data"
    )
    raise GenrecError(f"there is no {kind} `{name}`" + ("" if path.is_absolute() else places))


def _matching(folder: Path, name: str, made: Path) -> list[Path]:
    try:
        path = folder / name
        if path.is_file():
            return [path]
        if path.is_dir():
            found = list(path.iterdir())
        else:
            found = [folder / match for match in glob.glob(name, root_dir=folder, recursive=True)]
            found = [each for each in found if made not in each.parents]
        return sorted(each for each in found if each.is_file() and not each.name.startswith((".", "_")))
    except (OSError, ValueError):  # names that no system takes: too long, with a NUL
        return []


def _remote(name: str) -> list[Part]:
    try:
        system, path = fsspec.url_to_fs(name)
        if system.isfile(path):
            names = [path]
        else:
            names = system.ls(path, detail=False) if system.isdir(path) else system.glob(path)
        names = sorted(
            each for each in names if not each.rsplit("/", 1)[-1].startswith((".", "_")) and system.isfile(each)
        )
    except Exception as error:  # whatever a file system of the network can raise, a missing package among it
        raise GenrecError(f"cannot look up `{name}`: {' '.join(str(error).split())[:200]}") from error
    if not names:
        raise GenrecError(f"there is no file `{name}`")
    return [Part(system.unstrip_protocol(each), None, _opener(system, each), system.ukey(each)) for each in names]


def _opener(system: Any, path: str) -> Callable[[], IO[bytes]]:
    return lambda: system.open(path, "rb")

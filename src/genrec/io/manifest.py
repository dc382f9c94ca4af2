"""``recommender.json`` of a saved recommender: what it is made of, and every file that belongs to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from genrec.errors import GenrecError
from genrec.io.folders import sha256
from genrec.io.versions import versions

FILE = "recommender.json"
FORMAT = 3
FIELDS = {
    "dataset": str,
    "items": int,
    "folders": dict,
    "brought": list,
    "model": dict,
    "assets": dict,
    "data": dict,
    "files": dict,
    "sha256": str,
}
"""What it holds, and of which kind."""

KINDS = (".json", ".parquet", ".safetensors", ".txt", ".model", ".jinja")
"""What files may end with: plain data. Pickles and code are not read."""

LARGEST = 2**24
"""Bytes of the file itself: a catalogue, weights or a vocabulary are elsewhere."""

_NAMES = {str: "a text", int: "a whole number", list: "a list", dict: "an object"}


def is_saved(folder: Path) -> bool:
    """Whether a recommender was saved into the folder."""
    return (folder / FILE).is_file()


def write(folder: Path, about: Mapping[str, Any]) -> None:
    """Write the manifest of a folder whose other files are there.

    Args:
        folder: of the saved recommender.
        about: `FIELDS`, without those that are about files.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): sha256(path) for path in files if path != folder / FILE}
    whole = {"format": FORMAT, **versions("genrec"), **about, "files": named}
    text = json.dumps({**whole, "sha256": _hash(whole)}, indent=2) + "\n"
    (folder / FILE).write_text(text, encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """The manifest, once every file is found to be what was saved.

    Raises:
        GenrecError: if a file is missing, not what was saved, of another version, or no plain data.
    """
    path = folder / FILE
    about = _parse(path)
    for field, kind in FIELDS.items():
        value = about.get(field)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise GenrecError(f"`{path}`: `{field}` is {_NAMES[kind]}, not {value!r:.80}: get the folder again")
    if about.pop("sha256") != _hash(about):
        raise GenrecError(f"`{path}` was changed or damaged after it was saved: get the folder again")
    if not all(isinstance(name, str) for name in about["brought"]):
        raise GenrecError(f"`{path}`: `brought` is a list of texts: get the folder again")
    for value in about["folders"].values():
        if not isinstance(value, str) or PurePosixPath(value).name != value or value in ("", ".."):
            raise GenrecError(f"`{path}`: `folders` are names of folders beside it, not {value!r:.80}")
    for name, content in about["files"].items():
        _check(folder, name, content)
    return about


def _parse(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise GenrecError(f"`{path}` is too large to be what it should ({path.stat().st_size:,} bytes)")
        about = json.loads(path.read_text(encoding="utf-8"))
        found = about["format"]
    except GenrecError:
        raise
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise GenrecError(f"`{path}` is missing or damaged: get the folder again") from error
    if found != FORMAT:
        raise GenrecError(f"`{path}` has format {found!s:.20}, this version of genrec reads {FORMAT}: install another")
    return about


def _check(folder: Path, name: str, content: Any) -> None:
    """Look at one file of the manifest before anybody reads it."""
    path = folder / name
    pure = PurePosixPath(name)
    strange = pure.is_absolute() or ".." in pure.parts or "\\" in name or not name.isprintable()
    if strange or not _reach(folder, path):
        raise GenrecError(f"`{folder / FILE}` names the file `{name:.80}`, which lies outside of its folder")
    if path.suffix not in KINDS:
        raise GenrecError(f"`{path}` is no plain data ({', '.join(KINDS)}): pickles and code are not read")
    if not path.is_file() or sha256(path) != content:
        raise GenrecError(f"`{path}` is missing or damaged: get the folder again")


def check_folder(about: Mapping[str, Any], folder: Path, part: str) -> None:
    """Whether a folder that another library reads as a whole holds nothing but what the manifest names.

    Raises:
        GenrecError: if it does.
    """
    for path in (folder / part).rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not path.is_dir() and name not in about["files"]:
            raise GenrecError(f"`{path}` does not belong to what was saved: get the folder again")


def _reach(folder: Path, path: Path) -> bool:
    """Whether a path ends inside a folder, also as a link.

    In the cache of the hub, files are links to contents that lie beside, in the folder of the same repository.
    """
    cached = folder.parent.name == "snapshots" and (folder.parents[1] / "blobs").is_dir()
    try:
        return path.resolve().is_relative_to((folder.parents[1] if cached else folder).resolve())
    except (OSError, RuntimeError):  # a link to itself
        return False


def _hash(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

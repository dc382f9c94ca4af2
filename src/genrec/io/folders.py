"""Folders that are built once, under a lock, and found again by what they were made from."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from genrec.io.files import write_text
from genrec.io.versions import versions

MANIFEST = "manifest.json"
LIBRARIES = ("genrec", "numpy", "polars", "torch", "scikit-learn", "sentence-transformers")


def build_once(root: Path, name: str, fingerprint: Mapping[str, Any], build: Callable[[Path, Path], None]) -> Path:
    """The folder ``root/<name>-<hash of the fingerprint>/``, built if it is not there yet.

    Its manifest is written last. A folder without one, or whose files are not those of its manifest, was left by a
    process that died or was tampered with: it is never used, but built anew. Processes that ask for the same folder at
    the same time build it once; the others wait.

    Args:
        root: where the folder is made.
        name: what its name begins with.
        fingerprint: everything that decides the result, as json.
        build: writes files into its first argument; its second is scratch space that is deleted afterwards.
    """
    folder = folder_of(root, name, fingerprint)
    if is_intact(folder):
        return folder
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / f".{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process that builds {folder.name} ...")
        lock.acquire()
    try:
        # The process that held the lock may have built it meanwhile.
        if not is_intact(folder):
            _build(folder, name, fingerprint, build)
    finally:
        lock.release()
    return folder


def folder_of(root: Path, name: str, fingerprint: Mapping[str, Any]) -> Path:
    """Where `build_once` puts what it builds."""
    key = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:16]
    return root / f"{name}-{key}"


def is_intact(folder: Path, contents: bool = False) -> bool:
    """Whether the folder has a manifest that names files, and has them as they were made.

    The sizes of files and when they were changed last decide. Contents are read where a file was changed at another
    time, as those of a copied folder were; if they are what was made, the manifest takes over the new times.

    Args:
        folder: what `build_once` made.
        contents: read all contents, whatever the times.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, moved = manifest["files"], False
        for name, entry in files.items():
            # Names alone: a manifest is no way out of its folder.
            path, stat = folder / name, (folder / name).stat()
            if Path(name).name != name or stat.st_size != entry["bytes"]:
                return False
            same_time = stat.st_mtime_ns == entry.get("changed")
            if (contents or not same_time) and sha256(path) != entry["sha256"]:
                return False
            entry["changed"] = stat.st_mtime_ns
            moved |= not same_time
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        # No such folder, or a manifest that is cut off or is something else.
        return False
    if moved:
        # Where nobody may write, contents are read every time.
        with suppress(OSError):
            _write_manifest(folder, manifest)
    return bool(files)


def distrust_damaged(root: Path) -> list[Path]:
    """Read all that was built in a folder; what is damaged loses its manifest, so that it is built anew.

    Returns:
        The damaged folders.
    """
    damaged = [path.parent for path in sorted(root.glob(f"*/{MANIFEST}")) if not is_intact(path.parent, contents=True)]
    for folder in damaged:
        (folder / MANIFEST).unlink()
    return damaged


def sha256(path: Path) -> str:
    """The hash of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _build(folder: Path, name: str, fingerprint: Mapping[str, Any], build: Callable[[Path, Path], None]) -> None:
    start = time.perf_counter()
    # Always the same name, so that whoever builds next clears away what a killed process left.
    workplace = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(workplace, ignore_errors=True)
    scratch, result = workplace / "scratch", workplace / "result"
    scratch.mkdir(parents=True)
    result.mkdir()
    try:
        build(result, scratch)
        manifest = {
            "name": name,
            "fingerprint": fingerprint,
            "seconds": round(time.perf_counter() - start, 1),
            "versions": versions(*LIBRARIES),
            "files": {path.name: _describe(path) for path in sorted(result.iterdir())},
        }
        _write_manifest(result, manifest)
        shutil.rmtree(folder, ignore_errors=True)
        result.rename(folder)
    finally:
        shutil.rmtree(workplace)
    print(f"built {folder} in {manifest['seconds']} s")


def _write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    write_text(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def _describe(path: Path) -> dict[str, object]:
    stat = path.stat()
    return {"bytes": stat.st_size, "changed": stat.st_mtime_ns, "sha256": sha256(path)}

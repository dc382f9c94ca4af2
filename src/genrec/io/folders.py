"""Folders that are built once, under a lock, and found again by what they were made from."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

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


def is_intact(folder: Path) -> bool:
    """Whether the folder has a manifest that names files, and has them as they were made."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        # Names alone: a manifest is no way out of its folder.
        return bool(files) and all(
            Path(name).name == name and _describe(folder / name) == entry for name, entry in files.items()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        # No such folder, or a manifest that is cut off or is something else.
        return False


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
        (result / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        result.rename(folder)
    finally:
        shutil.rmtree(workplace)
    print(f"built {folder} in {manifest['seconds']} s")


def _describe(path: Path) -> dict[str, object]:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}

"""Where assets are kept: each is built once, under a lock, and found again by what it was made from."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout

from genrec.data import Dataset

if TYPE_CHECKING:
    from genrec.assets.base import Asset

MANIFEST = "manifest.json"
LIBRARIES = ("genrec", "numpy", "torch", "scikit-learn", "sentence-transformers")


class AssetStore:
    """A folder of assets, ``<root>/<name>-<hash>/``: arrays as .npy files, and a manifest that is written last.

    A folder without a manifest, or whose files are not those of its manifest, was left by a process that died or was
    tampered with: it is never read, but built anew.

    Args:
        root: the folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def get(self, asset: Asset, dataset: Dataset) -> dict[str, np.ndarray]:
        """The arrays of an asset, built if they are not there yet.

        Processes that ask for the same asset at the same time build it once; the others wait.
        """
        fingerprint = {"asset": asset.name, **asset.fingerprint(dataset)}
        key = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:16]
        folder = self.root / f"{asset.name}-{key}"
        if (arrays := _read(folder)) is not None:
            return arrays
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / f".{folder.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"waiting for another process that builds {folder.name} ...")
            lock.acquire()
        try:
            # The process that held the lock may have built it meanwhile.
            arrays = _read(folder)
            return self._build(asset, dataset, folder, fingerprint) if arrays is None else arrays
        finally:
            lock.release()

    def _build(
        self, asset: Asset, dataset: Dataset, folder: Path, fingerprint: dict[str, object]
    ) -> dict[str, np.ndarray]:
        print(f"building {asset.name} of {dataset.name} ...")
        start = time.perf_counter()
        # Always the same name, so that whoever builds next clears away what a killed process left.
        workplace = self.root / f".{folder.name}.unfinished"
        shutil.rmtree(workplace, ignore_errors=True)
        scratch, result = workplace / "scratch", workplace / "result"
        scratch.mkdir(parents=True)
        result.mkdir()
        try:
            arrays = asset.build(dataset, scratch)
            manifest = {
                "fingerprint": fingerprint,
                "dataset": dataset.name,
                "seconds": round(time.perf_counter() - start, 1),
                "versions": {library: version(library) for library in LIBRARIES},
                "files": {f"{name}.npy": _save(result / f"{name}.npy", array) for name, array in arrays.items()},
            }
            (result / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            result.rename(folder)
        finally:
            shutil.rmtree(workplace)
        print(f"built {folder} in {manifest['seconds']} s")
        return arrays


def _save(path: Path, array: np.ndarray) -> dict[str, object]:
    """Write an array; returns what the manifest says about its file."""
    np.save(path, array, allow_pickle=False)
    return {"shape": list(array.shape), "bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_intact(path: Path, entry: dict[str, object]) -> bool:
    return path.stat().st_size == entry["bytes"] and _sha256(path) == entry["sha256"]


def _read(folder: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a folder, or None unless it is whole."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        if not all(_is_intact(folder / name, entry) for name, entry in files.items()):
            return None
        return {Path(name).stem: np.load(folder / name, allow_pickle=False) for name in files}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        # No such folder, or a manifest that is cut off or is something else.
        return None

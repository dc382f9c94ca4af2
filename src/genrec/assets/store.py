"""Where assets are kept: each is built once, under a lock, and found again by what it was made from."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
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
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=self.root) as scratch:
            arrays = asset.build(dataset, Path(scratch))
            unfinished = Path(scratch) / "result"
            unfinished.mkdir()
            for name, array in arrays.items():
                np.save(unfinished / f"{name}.npy", array, allow_pickle=False)
            manifest = {
                "fingerprint": fingerprint,
                "dataset": dataset.name,
                "seconds": round(time.perf_counter() - start, 1),
                "versions": {library: version(library) for library in LIBRARIES},
                "files": {path.name: _signature(path) for path in sorted(unfinished.iterdir())},
            }
            (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
        print(f"built {folder} in {manifest['seconds']} s")
        return arrays


def _signature(path: Path) -> dict[str, object]:
    return {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _read(folder: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a folder, or None unless it is whole."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        if any(_signature(folder / name) != signature for name, signature in files.items()):
            return None
        return {Path(name).stem: np.load(folder / name, allow_pickle=False) for name in files}
    except (OSError, ValueError, KeyError):
        return None

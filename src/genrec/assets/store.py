"""Where assets are kept: arrays as .npy files, each asset in a folder that is built once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genrec.data import Dataset
from genrec.store import build_once

if TYPE_CHECKING:
    from genrec.assets.base import Asset

DIAGNOSTICS = "diagnostics.json"
"""What a build may leave in its scratch folder about the quality of its result: it is kept beside the arrays."""


class AssetStore:
    """A folder of assets, ``<root>/<name>-<hash>/`` (`genrec.store.build_once`).

    Args:
        root: the folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def get(self, asset: Asset, dataset: Dataset) -> dict[str, np.ndarray]:
        """The arrays of an asset, built if they are not there yet."""

        def build(folder: Path, scratch: Path) -> None:
            print(f"building {asset.name} of {dataset.name} ...")
            for name, array in asset.build(dataset, scratch).items():
                np.save(folder / f"{name}.npy", array, allow_pickle=False)
            if (scratch / DIAGNOSTICS).exists():
                shutil.copy(scratch / DIAGNOSTICS, folder)

        fingerprint = {"asset": asset.name, **asset.fingerprint(dataset)}
        folder = build_once(self.root, asset.name, fingerprint, build)
        return {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy")}

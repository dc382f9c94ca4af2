"""Where assets are kept: arrays as .npy files, each asset in a folder that is built once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genrec.assets.keys import key_of
from genrec.assets.recipe import EMBEDDINGS, Asset, InShards
from genrec.assets.shards import join_shards, make_shards
from genrec.data import Dataset
from genrec.io.bounds import lifted
from genrec.io.folders import build_once, folder_of, is_intact
from genrec.seeds import with_seed

DIAGNOSTICS = "diagnostics.json"
"""What a build may leave in its scratch folder about the quality of its result: it is kept beside the arrays."""


class AssetStore:
    """A folder of assets, ``<root>/<name>-<hash>/`` (`genrec.io.folders.build_once`).

    Args:
        root: the folder.
        seed: of the recipes that leave theirs open.

    Attributes:
        asked: the recipes that a recommender cannot do without, by their keys (`key_of`): those it asked for, and what
            these need for items that are added.
    """

    def __init__(self, root: str | Path, seed: int = 0) -> None:
        self.root = Path(root)
        self.seed = seed
        self.asked: dict[str, Asset] = {}

    def get(self, asset: Asset, dataset: Dataset) -> dict[str, np.ndarray]:
        """The arrays of an asset, built if they are not there yet."""
        asset, before = with_seed(asset, self.seed), dict(self.asked)
        arrays = self._arrays(asset, dataset)
        # What else was asked for meanwhile was needed to build it.
        needed = (asset, *(with_seed(recipe, self.seed) for recipe in asset.for_new_items()))
        self.asked = {**before, **{key_of(recipe): recipe for recipe in needed}}
        return arrays

    def _arrays(self, asset: Asset, dataset: Dataset) -> dict[str, np.ndarray]:
        fingerprint = _fingerprint(asset, dataset)
        if isinstance(asset, InShards):
            return self._load(self._shared_out(asset, dataset, fingerprint))

        def build(folder: Path, scratch: Path) -> None:
            print(f"building {asset.name} of {dataset.name} ...")
            with lifted():
                arrays = asset.build(dataset, scratch)
            for name, array in arrays.items():
                np.save(folder / f"{name}.npy", array, allow_pickle=False)
            if (scratch / DIAGNOSTICS).exists():
                shutil.copy(scratch / DIAGNOSTICS, folder)

        return self._load(build_once(self.root, asset.name, fingerprint, build))

    def _shared_out(self, asset: InShards, dataset: Dataset, fingerprint: dict[str, object]) -> Path:
        """The folder of an asset that is made by all processes that ask for it."""
        folder = folder_of(self.root, asset.name, fingerprint)
        if is_intact(folder):
            return folder
        # Beside the scratch space of a build, which a kill leaves behind to be cleared away.
        shards = folder.with_name(f".{folder.name}.shards")
        with lifted():
            make_shards(asset, dataset, shards, lambda: is_intact(folder))
        asset.release()

        def join(result: Path, scratch: Path) -> None:
            join_shards(shards, result / f"{EMBEDDINGS}.npy")

        build_once(self.root, asset.name, fingerprint, join)
        shutil.rmtree(shards, ignore_errors=True)
        return folder

    @staticmethod
    def _load(folder: Path) -> dict[str, np.ndarray]:
        # Mapped: the processes of a machine share one copy, and nobody's changes reach the file.
        return {path.stem: np.load(path, mmap_mode="c", allow_pickle=False) for path in folder.glob("*.npy")}

    def folder(self, asset: Asset, dataset: Dataset) -> Path:
        """Where an asset is, or will be."""
        asset = with_seed(asset, self.seed)
        return folder_of(self.root, asset.name, _fingerprint(asset, dataset))

    def has(self, asset: Asset, dataset: Dataset) -> bool:
        """Whether an asset has been built."""
        return is_intact(self.folder(asset, dataset))

    def diagnostics(self, asset: Asset, dataset: Dataset) -> dict[str, Any]:
        """What the building of an asset told about its result; empty if nothing, or if it was not built."""
        path = self.folder(asset, dataset) / DIAGNOSTICS
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def in_a_line(numbers: Mapping[str, Any]) -> str:
    """What a build told of its result, for people; what is nested in it is left to its file."""
    shown = {name: value for name, value in numbers.items() if not isinstance(value, Mapping)}
    return ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in shown.items())


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + " ".join(map(_short, value)) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _fingerprint(asset: Asset, dataset: Dataset) -> dict[str, object]:
    return {"asset": asset.name, **asset.fingerprint(dataset)}

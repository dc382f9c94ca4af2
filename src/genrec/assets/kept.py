"""The assets of a training, in use with data that have changed since."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from genrec.assets.keys import key_of
from genrec.assets.recipe import Asset, TextAsset, WithoutUsers
from genrec.assets.store import AssetStore
from genrec.data import Dataset
from genrec.errors import GenrecError
from genrec.io.folders import is_intact
from genrec.seeds import with_seed


class KeptStore(AssetStore):
    """A store that has the arrays that a training had, whatever they would be made of by now.

    Args:
        store: where the training had them from.
        kept: the folders of the assets below it, by the keys of their recipes (`key_of`).
    """

    def __init__(self, store: AssetStore, kept: Mapping[str, str]) -> None:
        super().__init__(store.root, store.seed)
        self.kept = kept

    def _arrays(self, asset: Asset, dataset: Dataset) -> dict[str, np.ndarray]:
        if self.has(asset, dataset):
            return self._load(self.folder(asset, dataset))
        if isinstance(asset, TextAsset | WithoutUsers):
            return super()._arrays(asset, dataset)
        raise GenrecError(
            f"`{self.folder(asset, dataset)}`, which the training used, is missing, and cannot be made of data that "
            "have changed since: give the data that it was trained on, or train again"
        )

    def folder(self, asset: Asset, dataset: Dataset) -> Path:
        """See `AssetStore.folder`."""
        name = self.kept.get(self._key(asset))
        # A name alone: the checkpoint may be anybody's.
        return self.root / Path(name).name if name else super().folder(asset, dataset)

    def has(self, asset: Asset, dataset: Dataset) -> bool:
        """See `AssetStore.has`."""
        return self._key(asset) in self.kept and is_intact(self.folder(asset, dataset))

    def _key(self, asset: Asset) -> str:
        return key_of(with_seed(asset, self.seed))

"""Numbers per item that are made once, on the side: what a recipe is, and what an identifier sees of the results."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genrec.assets.store import AssetStore
from genrec.data import Catalog, Dataset, Ragged
from genrec.errors import GenrecError

EMBEDDINGS = "embeddings"
"""The array that every text and CF asset has: float32 [N, d]."""


class Asset(ABC):
    """A recipe with a few parameters that turns a data set into named arrays."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What the folder of the result begins with."""

    @abstractmethod
    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """Everything that decides the result, as json: parameters, and hashes of what is read of the data."""

    @abstractmethod
    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        """Make the arrays. ``folder`` is scratch space that is deleted afterwards."""


class TextAsset(Asset):
    """A frozen text encoder: ``embeddings`` float32 [N, d] of the items' texts."""

    @abstractmethod
    def encode(self, texts: list[str], built: dict[str, np.ndarray]) -> np.ndarray:
        """Embeddings [n, d] of new texts, in the space of what was built before."""


class CFAsset(Asset):
    """Collaborative embeddings: ``embeddings`` float32 [N, d], learned from the training split alone."""


def hash_texts(texts: Iterable[str]) -> str:
    """A hash of a list of texts, in order."""
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()


def hash_arrays(*arrays: np.ndarray) -> str:
    """A hash of the arrays' shapes and contents."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str((array.shape, array.dtype)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def hash_lists(*lists: Ragged) -> str:
    """A hash of users' lists."""
    return hash_arrays(*(array for part in lists for array in (part.values, part.offsets)))


class Assets:
    """Which text encoder and which collaborative embeddings the identifiers share.

    Args:
        text: the text encoder.
        cf: where the collaborative embeddings come from.
        root: the folder of the store.
    """

    def __init__(self, text: TextAsset | None = None, cf: CFAsset | None = None, root: str = "data/assets") -> None:
        self.text = text
        self.cf = cf
        self.store = AssetStore(root)

    def bind(self, dataset: Dataset) -> ItemAssets:
        """The assets of one data set; nothing is built before it is asked for."""
        return ItemAssets(self, dataset, dataset.catalog)


class ItemAssets:
    """What an identifier sees: tables with one row per item, built when they are first asked for.

    Args:
        assets: the encoder, the collaborative embeddings and the store.
        dataset: what they are built from.
        catalog: the items that the tables have rows for: those of the data set, then any that were added later.
    """

    def __init__(self, assets: Assets, dataset: Dataset, catalog: Catalog) -> None:
        self._assets = assets
        self._dataset = dataset
        self._catalog = catalog

    def get(self, asset: Asset) -> dict[str, np.ndarray]:
        """The arrays of any recipe, from the store; they have rows for the items of the data set alone."""
        return self._assets.store.get(asset, self._dataset)

    @cached_property
    def text(self) -> Tensor:
        """Text embeddings, float32 [N, d].

        Raises:
            GenrecError: if no text encoder is configured, or the items have no text.
        """
        encoder = self._assets.text
        if encoder is None:
            raise GenrecError(
                f"the identifier needs text embeddings of `{self._dataset.name}`, but no text encoder is configured: "
                "give `assets.text`, such as TfidfText"
            )
        built = self.get(encoder)
        table = built[EMBEDDINGS]
        if self._added:
            new_texts = self._catalog.texts()[-self._added :]
            table = np.concatenate([table, encoder.encode(new_texts, built)])
        return torch.from_numpy(np.array(table, dtype=np.float32))

    @cached_property
    def cf(self) -> Tensor:
        """Collaborative embeddings, float32 [N, d].

        An item that was added later has the mean of the cold items' rows: nothing is known of either.

        Raises:
            GenrecError: if none are configured.
        """
        if self._assets.cf is None:
            raise GenrecError(
                f"the identifier needs collaborative embeddings of `{self._dataset.name}`, but none are configured: "
                "give `assets.cf`, such as SASRecCF"
            )
        table = np.array(self.get(self._assets.cf)[EMBEDDINGS], dtype=np.float32)
        if self._added:
            cold = ~self._dataset.warm
            unknown = table[cold if cold.any() else slice(None)].mean(0, keepdims=True)
            table = np.concatenate([table, unknown.repeat(self._added, 0)])
        return torch.from_numpy(table)

    def extend(self, catalog: Catalog) -> ItemAssets:
        """The assets of a catalogue that holds new items behind the old ones, whose rows stay as they are."""
        return ItemAssets(self._assets, self._dataset, catalog)

    @property
    def _added(self) -> int:
        return len(self._catalog) - len(self._dataset.catalog)

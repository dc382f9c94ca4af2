"""Numbers per item that are made once, on the side: what a recipe is."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from genrec.data import Catalog, Dataset, Ragged
from genrec.errors import GenrecError

EMBEDDINGS = "embeddings"
"""The array that every `EmbeddingAsset` has: float32 [N, d]."""
TEXT, CF = "text", "cf"
"""The names of the embeddings that most identifiers are made of."""


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
        """Make the arrays. ``folder`` is scratch space that is deleted afterwards, all but `DIAGNOSTICS`."""

    def for_new_items(self) -> Sequence[Asset]:
        """The assets that it takes to make rows for items that are added later."""
        return ()


class WithoutUsers(Asset):
    """A recipe that reads nobody's history: a recommender that was saved without users can make the result again."""


class EmbeddingAsset(Asset):
    """A vector of every item: ``embeddings`` float32 [N, d]."""

    def added(self, catalog: Catalog, dataset: Dataset, built: dict[str, np.ndarray]) -> np.ndarray:
        """Embeddings [n, d] of items that were added later, in the space of what was built before.

        An item's do not depend on the items behind it. A recipe that has no rule for them keeps this default.

        Args:
            catalog: the items of the data set, then n others.
            dataset: what was built of it.
            built: the arrays that came of it.

        Raises:
            GenrecError: if it knows nothing but the items that it was made of.
        """
        new = catalog.keys[len(dataset.catalog)]
        raise GenrecError(
            f"`{self.name}` knows nothing of items that are added later, such as `{new}`: train again with them, or "
            f"let {type(self).__name__} implement `added`"
        )


class TextAsset(EmbeddingAsset):
    """A frozen text encoder: ``embeddings`` float32 [N, d] of the items' texts."""

    @abstractmethod
    def encode(self, texts: list[str], built: dict[str, np.ndarray]) -> np.ndarray:
        """Embeddings [n, d] of new texts, in the space of what was built before."""

    def added(self, catalog: Catalog, dataset: Dataset, built: dict[str, np.ndarray]) -> np.ndarray:
        """See `EmbeddingAsset.added`: the embeddings of their texts."""
        return self.encode(catalog.texts(np.arange(len(dataset.catalog), len(catalog))), built)


class InShards(EmbeddingAsset):
    """Embeddings of which every process of a job makes some, and which a job that was killed goes on with.

    An item's row depends on nothing but the item, to the rounding of what it shares a batch with; so what shares one
    must not depend on who makes it: `order` and the size of shards decide.
    """

    @abstractmethod
    def order(self, dataset: Dataset) -> np.ndarray:
        """The items int64 [N] in the order in which they are cut into shards."""

    @abstractmethod
    def embed(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """Embeddings float32 [n, d] of the items of a shard, rows [n]; only their texts are read."""

    def release(self) -> None:
        """Let go of what `embed` held in memory."""

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        """See `Asset.build`: all shards, made here; the store shares them out (`genrec.assets.shards`)."""
        order = self.order(dataset)
        table = self.embed(dataset, order)
        self.release()
        return {EMBEDDINGS: table[np.argsort(order)]}


class CFAsset(EmbeddingAsset):
    """Collaborative embeddings: ``embeddings`` float32 [N, d], learned from the training split alone."""

    def added(self, catalog: Catalog, dataset: Dataset, built: dict[str, np.ndarray]) -> np.ndarray:
        """See `EmbeddingAsset.added`: the mean of the cold items' rows, as nothing is known of either.

        Without cold items it is the mean of all.
        """
        cold = ~dataset.warm
        table = np.asarray(built[EMBEDDINGS], np.float32)
        unknown = table[cold if cold.any() else slice(None)].mean(0, keepdims=True)
        return unknown.repeat(len(catalog) - len(dataset.catalog), 0)


class FromEmbeddings(ABC):
    """A recipe for arrays that are made of the items' embeddings: a whitening, a graph of neighbours, codes."""

    @property
    def sources(self) -> Sequence[str]:
        """The names of the embeddings (`genrec.assets.item_assets.ItemAssets.source`)."""
        return (TEXT,)

    @property
    @abstractmethod
    def name(self) -> str:
        """See `Asset.name`."""

    @abstractmethod
    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`; the embeddings are seen to elsewhere."""

    @abstractmethod
    def build(self, dataset: Dataset, folder: Path, embeddings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Asset.build`; ``embeddings`` holds float32 tables [N, .] by the names of `sources`."""


class ItemCodes(FromEmbeddings):
    """A recipe that names items by codes, made of their embeddings: ``codes`` int64 [N, L]."""

    @property
    @abstractmethod
    def length(self) -> int:
        """L, codes of an item."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Codes to choose from in every place; each is a number from 0 to ``size`` - 1."""

    @property
    def unique(self) -> bool:
        """Whether no two items share all of their codes, those among them that are added later."""
        return False

    @abstractmethod
    def encode(self, embeddings: Mapping[str, np.ndarray], built: Mapping[str, np.ndarray]) -> np.ndarray:
        """Codes [n, L] of items that come to those that were built.

        An item's codes depend on the items before it, never on those behind.

        Args:
            embeddings: their rows [n, .] of all that `build` was given.
            built: what it made.
        """


def hash_texts(texts: Iterable[str]) -> str:
    """A hash of a list of texts, in order."""
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()


def hash_arrays(*arrays: np.ndarray) -> str:
    """A hash of the arrays' shapes and contents."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str((array.shape, array.dtype)).encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def hash_lists(*lists: Ragged) -> str:
    """A hash of users' lists, whatever the size of their numbers."""
    return hash_arrays(*(array for part in lists for array in (part.values.astype(np.int32, copy=False), part.offsets)))

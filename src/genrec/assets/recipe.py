"""Numbers per item that are made once, on the side: what a recipe is."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from genrec.data import Dataset, Ragged

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
        """Make the arrays. ``folder`` is scratch space that is deleted afterwards, all but `DIAGNOSTICS`."""

    def for_new_items(self) -> Sequence[Asset]:
        """The assets that it takes to make rows for items that are added later."""
        return ()


class WithoutUsers(Asset):
    """A recipe that reads nobody's history: a recommender that was saved without users can make the result again."""


class TextAsset(Asset):
    """A frozen text encoder: ``embeddings`` float32 [N, d] of the items' texts."""

    @abstractmethod
    def encode(self, texts: list[str], built: dict[str, np.ndarray]) -> np.ndarray:
        """Embeddings [n, d] of new texts, in the space of what was built before."""


class CFAsset(Asset):
    """Collaborative embeddings: ``embeddings`` float32 [N, d], learned from the training split alone."""


class ItemCodes(ABC):
    """A recipe that names items by codes, made of their embeddings: ``codes`` int64 [N, L]."""

    needs_cf: ClassVar[bool]
    """Whether it is made of collaborative embeddings too, not of text embeddings alone."""

    @property
    @abstractmethod
    def name(self) -> str:
        """See `Asset.name`."""

    @abstractmethod
    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`; the embeddings are seen to elsewhere."""

    @abstractmethod
    def build(self, dataset: Dataset, folder: Path, embeddings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Asset.build`; ``embeddings`` holds float32 tables [N, .]: "text", and "cf" where it is needed."""

    @abstractmethod
    def encode(self, text: np.ndarray, built: Mapping[str, np.ndarray]) -> np.ndarray:
        """Codes [n, L] of items that come to those that were built, from their text embeddings [n, d].

        An item's codes depend on the items before it, never on those behind.
        """


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

"""Recipes that are made of other recipes' results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from genrec.assets.recipe import (
    EMBEDDINGS,
    Asset,
    EmbeddingAsset,
    FromEmbeddings,
    ItemCodes,
    TextAsset,
    WithoutUsers,
    hash_texts,
)
from genrec.assets.store import AssetStore
from genrec.data import Dataset


@dataclass(frozen=True)
class Derived(Asset):
    """A recipe together with the assets whose embeddings it is made of.

    Args:
        recipe: of codes, or of anything else.
        embeddings: what makes each of its `FromEmbeddings.sources`.
        store: where those are kept.
    """

    recipe: FromEmbeddings
    embeddings: Mapping[str, EmbeddingAsset]
    store: AssetStore = field(compare=False)

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return self.recipe.name

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`: the recipe's own, and those of all embeddings."""
        sources = {name: {"asset": asset.name, **asset.fingerprint(dataset)} for name, asset in self.embeddings.items()}
        return {**self.recipe.fingerprint(dataset), "sources": sources}

    def for_new_items(self) -> Sequence[Asset]:
        """See `Asset.for_new_items`: codes are made for them, of all embeddings."""
        return tuple(self.embeddings.values()) if isinstance(self.recipe, ItemCodes) else ()

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        """See `Asset.build`."""
        tables = {name: self.store.get(asset, dataset)[EMBEDDINGS] for name, asset in self.embeddings.items()}
        return self.recipe.build(
            dataset, folder, {name: np.asarray(table, np.float32) for name, table in tables.items()}
        )


@dataclass(frozen=True)
class Encoded(WithoutUsers):
    """Other texts in the space of the items' texts: ``embeddings`` float32, a row per text.

    Args:
        encoder: of the items' texts.
        texts: what is encoded.
        store: where the encoder's results are kept.
    """

    encoder: TextAsset
    texts: tuple[str, ...]
    store: AssetStore = field(compare=False)

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return f"{self.encoder.name}-others-{hash_texts(self.texts)[:16]}"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`."""
        return {**self.encoder.fingerprint(dataset), "others": hash_texts(self.texts)}

    def for_new_items(self) -> Sequence[Asset]:
        """See `Asset.for_new_items`."""
        return (self.encoder,)

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        """See `Asset.build`."""
        return {EMBEDDINGS: self.encoder.encode(list(self.texts), self.store.get(self.encoder, dataset))}

"""Numbers per item that are made once, on the side: what a recipe is, and what an identifier sees of the results."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from genrec.assets.store import AssetStore
from genrec.data import Catalog, Dataset, Ragged
from genrec.errors import GenrecError
from genrec.seeds import Recipe, seed_of_run, with_seed

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


@dataclass(frozen=True)
class Derived(Asset):
    """Item codes together with the assets whose embeddings they are made of.

    Args:
        recipe: of the codes.
        embeddings: "text", and "cf" where the recipe needs it.
        store: where those are kept.
    """

    recipe: ItemCodes
    embeddings: Mapping[str, Asset]
    store: AssetStore

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return self.recipe.name

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`: the recipe's own, and those of all embeddings."""
        sources = {name: {"asset": asset.name, **asset.fingerprint(dataset)} for name, asset in self.embeddings.items()}
        return {**self.recipe.fingerprint(dataset), "sources": sources}

    def for_new_items(self) -> Sequence[Asset]:
        """See `Asset.for_new_items`."""
        return (self.embeddings["text"],)

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        """See `Asset.build`."""
        tables = {name: self.store.get(asset, dataset)[EMBEDDINGS] for name, asset in self.embeddings.items()}
        return self.recipe.build(dataset, folder, {name: table.astype(np.float32) for name, table in tables.items()})


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
    store: AssetStore

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
        seed: of the recipes that leave theirs open, these two and those of the identifiers; None is that of
            `seed_everything`.
    """

    def __init__(
        self,
        text: TextAsset | None = None,
        cf: CFAsset | None = None,
        root: str = "data/assets",
        seed: int | None = None,
    ) -> None:
        self.text = text
        self.cf = cf
        self.store = AssetStore(root, seed_of_run() if seed is None else seed)

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

    def seeded(self, recipe: Recipe) -> Recipe:
        """A recipe as it is built: with the seed of the run where it leaves its own open."""
        return with_seed(recipe, self._assets.store.seed)

    def diagnostics(self) -> dict[str, dict[str, Any]]:
        """What the building of those that were asked for told about their results, by name."""
        store = self._assets.store
        found = {name: store.diagnostics(asset, self._dataset) for name, asset in store.asked.items()}
        return {name: numbers for name, numbers in found.items() if numbers}

    @cached_property
    def text(self) -> Tensor:
        """Text embeddings, float32 [N, d].

        Raises:
            GenrecError: if no text encoder is configured, or the items have no text.
        """
        table = self._text[EMBEDDINGS]
        if self._added:
            new_texts = self._catalog.texts()[-self._added :]
            table = np.concatenate([table, self._encoder.encode(new_texts, self._text)])
        return torch.from_numpy(np.asarray(table, np.float32))

    def encode(self, texts: Sequence[str], keep: bool = False) -> Tensor:
        """Embeddings float32 [n, d] of any texts, in the space of `text`.

        Args:
            texts: n of them.
            keep: put them into the store, because other runs will ask for the same ones.

        Raises:
            GenrecError: as `text`.
        """
        if keep:
            table = self.get(Encoded(self._encoder, tuple(texts), self._assets.store))[EMBEDDINGS]
        else:
            table = self._encoder.encode(list(texts), self._text)
        return torch.from_numpy(np.asarray(table, np.float32))

    @cached_property
    def cf(self) -> Tensor:
        """Collaborative embeddings, float32 [N, d].

        An item that was added later has the mean of the cold items' rows: nothing is known of either.

        Raises:
            GenrecError: if none are configured.
        """
        table = np.asarray(self.get(self._cf_source)[EMBEDDINGS], np.float32)
        if self._added:
            cold = ~self._dataset.warm
            unknown = table[cold if cold.any() else slice(None)].mean(0, keepdims=True)
            table = np.concatenate([table, unknown.repeat(self._added, 0)])
        return torch.from_numpy(table)

    def codes(self, recipe: ItemCodes) -> Tensor:
        """The items' codes, long [N, L], made of the shared text and collaborative embeddings.

        Items that were added later are named after their text; the codes of those before them stay as they are.

        Raises:
            GenrecError: if embeddings that the recipe needs are not configured.
        """
        recipe = self.seeded(recipe)
        embeddings: dict[str, Asset] = {"text": self._encoder}
        if recipe.needs_cf:
            embeddings["cf"] = self._cf_source
        built = self.get(Derived(recipe, embeddings, self._assets.store))
        table = built["codes"]
        if self._added:
            table = np.concatenate([table, recipe.encode(self.text[-self._added :].numpy(), built)])
        return torch.from_numpy(table)

    def extend(self, catalog: Catalog) -> ItemAssets:
        """The assets of a catalogue that holds new items behind the old ones, whose rows stay as they are."""
        return ItemAssets(self._assets, self._dataset, catalog)

    @cached_property
    def _text(self) -> dict[str, np.ndarray]:
        return self.get(self._encoder)

    @property
    def _encoder(self) -> TextAsset:
        if self._assets.text is None:
            raise GenrecError(
                f"the identifier needs text embeddings of `{self._dataset.name}`, but no text encoder is configured: "
                "give `assets.text`, such as TfidfText"
            )
        return self.seeded(self._assets.text)

    @property
    def _cf_source(self) -> CFAsset:
        if self._assets.cf is None:
            raise GenrecError(
                f"the identifier needs collaborative embeddings of `{self._dataset.name}`, but none are configured: "
                "give `assets.cf`, such as SASRecCF"
            )
        return self._assets.cf

    @property
    def _added(self) -> int:
        return len(self._catalog) - len(self._dataset.catalog)

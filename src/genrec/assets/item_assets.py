"""What an identifier sees of the assets: tables with one row per item, new items included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from genrec.assets.derived import Derived, Encoded
from genrec.assets.given import FileEmbeddings
from genrec.assets.recipe import (
    CF,
    EMBEDDINGS,
    TEXT,
    Asset,
    CFAsset,
    EmbeddingAsset,
    FromEmbeddings,
    ItemCodes,
    TextAsset,
)
from genrec.assets.store import AssetStore
from genrec.data import Catalog, Dataset
from genrec.errors import GenrecError
from genrec.seeds import Recipe, seed_of_run, with_seed

_LACKS = {
    TEXT: ("text embeddings", "no text encoder is", "TfidfText"),
    CF: ("collaborative embeddings", "none are", "SASRecCF"),
}
"""The embeddings that most identifiers need, and what to say of a config without them."""


class Assets:
    """Which embeddings of the items the identifiers share.

    Args:
        text: the text encoder, or a file of vectors.
        cf: where the collaborative embeddings come from.
        root: the folder of the store.
        seed: of the recipes that leave theirs open, these and those of the identifiers; None is that of
            `seed_everything`.
        sources: other embeddings by name, such as ``image``.

    Raises:
        GenrecError: if a source has the name of another, or no name at all.
    """

    def __init__(
        self,
        text: TextAsset | FileEmbeddings | None = None,
        cf: CFAsset | FileEmbeddings | None = None,
        root: str = "data/assets",
        seed: int | None = None,
        sources: Mapping[str, EmbeddingAsset] | None = None,
    ) -> None:
        for name in sources or {}:
            if name in _LACKS or not name.isidentifier():
                raise GenrecError(
                    f"`assets.sources` has `{name!s:.80}`: {TEXT} and {CF} have keys of their own, `assets.{TEXT}` and "
                    f"`assets.{CF}`, and any other name is one word, such as `image`"
                )
        self.text = text
        self.cf = cf
        self.sources = dict(sources or {})
        self.store = AssetStore(root, seed_of_run() if seed is None else seed)

    def bind(self, dataset: Dataset) -> ItemAssets:
        """The assets of one data set; nothing is built before it is asked for."""
        return ItemAssets(self, dataset, dataset.catalog)


class ItemAssets:
    """What an identifier sees: tables with one row per item, built when they are first asked for.

    Args:
        assets: what makes the embeddings, and the store.
        dataset: what they are built from.
        catalog: the items that the tables have rows for: those of the data set, then any that were added later.
        keep: put the embeddings of the added items' texts into the store.
    """

    def __init__(self, assets: Assets, dataset: Dataset, catalog: Catalog, keep: bool = False) -> None:
        self._assets = assets
        self._keep = keep
        self._dataset = dataset
        self._catalog = catalog
        self._tables: dict[str, Tensor] = {}

    def built(self, recipe: Asset | FromEmbeddings) -> dict[str, np.ndarray]:
        """All that a recipe built, from the store: arrays by name, with rows for the items of the data set alone.

        Raises:
            GenrecError: if embeddings that the recipe needs are not configured.
        """
        store = self._assets.store
        if isinstance(recipe, FromEmbeddings):
            recipe = Derived(recipe, {name: self._recipe(name) for name in recipe.sources}, store)
        return store.get(recipe, self._dataset)

    def seeded(self, recipe: Recipe) -> Recipe:
        """A recipe as it is built: with the seed of the run where it leaves its own open."""
        return with_seed(recipe, self._assets.store.seed)

    @property
    def keys(self) -> pl.Series:
        """The keys of the data set's items, by row."""
        return self._dataset.catalog.keys.column

    def asked(self) -> Iterator[tuple[str, Asset, dict[str, np.ndarray]]]:
        """What was asked for: what the recipe's folder is called, the recipe, and the arrays that it built."""
        store = self._assets.store
        for recipe in list(store.asked.values()):
            yield store.folder(recipe, self._dataset).name, recipe, store.get(recipe, self._dataset)

    def diagnostics(self) -> dict[str, dict[str, Any]]:
        """What the building of those that were asked for told about their results, by the names of their folders."""
        store, found = self._assets.store, {}
        for asset in store.asked.values():
            if numbers := store.diagnostics(asset, self._dataset):
                found[store.folder(asset, self._dataset).name] = numbers
        return found

    def source(self, name: str) -> Tensor:
        """Embeddings by name, float32 [N, d]: "text", "cf", or one of `Assets.sources`.

        Rows of items that were added later are made as the recipe says (`EmbeddingAsset.added`): the text of an item is
        encoded, a collaborative vector is the mean of the cold items', and a recipe that has no rule refuses them.

        Raises:
            GenrecError: if there are none of that name, or they cannot be made.
        """
        if name not in self._tables:
            self._tables[name] = torch.from_numpy(self._table(self._recipe(name)))
        return self._tables[name]

    def _table(self, recipe: EmbeddingAsset) -> np.ndarray:
        """Embeddings float32 [N, d]: those that were built, then those of the items that were added."""
        built, known = self.built(recipe), len(self._dataset.catalog)
        table = _rows(recipe, built.get(EMBEDDINGS), known)
        if len(self._catalog) == known:
            return table
        if self._keep and isinstance(recipe, TextAsset):
            texts = tuple(self._catalog.texts(np.arange(known, len(self._catalog))))
            added = self.built(Encoded(recipe, texts, self._assets.store))[EMBEDDINGS]
        else:
            added = recipe.added(self._catalog, self._dataset, built)
        return np.concatenate([table, _rows(recipe, added, len(self._catalog) - known, table.shape[1])])

    @property
    def text(self) -> Tensor:
        """Text embeddings, float32 [N, d], see `source`.

        Raises:
            GenrecError: if no text encoder is configured, or the items have no text.
        """
        return self.source(TEXT)

    @property
    def cf(self) -> Tensor:
        """Collaborative embeddings, float32 [N, d], see `source`.

        Raises:
            GenrecError: if none are configured.
        """
        return self.source(CF)

    def encode(self, texts: Sequence[str], keep: bool = False) -> Tensor:
        """Embeddings float32 [n, d] of any texts, in the space of `text`.

        Args:
            texts: n of them.
            keep: put them into the store, because other runs will ask for the same ones.

        Raises:
            GenrecError: as `text`.
        """
        if keep:
            table = self.built(Encoded(self._encoder, tuple(texts), self._assets.store))[EMBEDDINGS]
        else:
            table = self._encoder.encode(list(texts), self._text)
        return torch.from_numpy(np.asarray(table, np.float32))

    def codes(self, recipe: ItemCodes) -> Tensor:
        """The items' codes, long [N, L], made of the embeddings that the recipe asks for.

        Items that were added later are named after their embeddings; the codes of those before them stay as they are.

        Raises:
            GenrecError: if embeddings that the recipe needs are not configured.
        """
        recipe = self.seeded(recipe)
        built, known = self.built(recipe), len(self._dataset.catalog)
        table = built["codes"]
        if len(self._catalog) > known:
            embeddings = {name: self.source(name)[known:].numpy() for name in recipe.sources}
            table = np.concatenate([table, recipe.encode(embeddings, built)])
        return torch.from_numpy(table)

    def extend(self, catalog: Catalog, keep: bool = False) -> ItemAssets:
        """The assets of a catalogue that holds new items behind the old ones, whose rows stay as they are.

        Args:
            catalog: the items.
            keep: put the embeddings of the new items' texts into the store, because other runs will ask for them.
        """
        return ItemAssets(self._assets, self._dataset, catalog, keep)

    @cached_property
    def _text(self) -> dict[str, np.ndarray]:
        return self.built(self._encoder)

    @property
    def _encoder(self) -> TextAsset:
        recipe = self._recipe(TEXT)
        if not isinstance(recipe, TextAsset):
            raise GenrecError(
                f"texts of the identifier's own cannot be encoded: `assets.text` are vectors of items alone "
                f"({type(recipe).__name__}); give a text encoder, such as MiniLMText"
            )
        return recipe

    def _recipe(self, name: str) -> EmbeddingAsset:
        """What makes embeddings.

        Raises:
            GenrecError: if there are none of that name.
        """
        there = {TEXT: self._assets.text, CF: self._assets.cf, **self._assets.sources}
        recipe = there.get(name)
        if recipe is not None:
            return self.seeded(recipe)
        if name in _LACKS:
            what, lacks, such_as = _LACKS[name]
            raise GenrecError(
                f"the identifier needs {what} of `{self._dataset.name}`, but {lacks} configured: give `assets.{name}`, "
                f"such as {such_as}"
            )
        configured = ", ".join(name for name, made_by in there.items() if made_by is not None) or "none"
        raise GenrecError(
            f"the identifier needs embeddings `{name!s:.80}` of `{self._dataset.name}`; configured are {configured}: "
            f"give `assets.sources.{name!s:.80}`"
        )


def _rows(recipe: EmbeddingAsset, table: np.ndarray | None, count: int, width: int | None = None) -> np.ndarray:
    """A table of embeddings as float32, once it is found to have a row per item.

    Raises:
        GenrecError: if it has not, naming the recipe.
    """
    if table is None or table.ndim != 2 or table.shape != (count, width or table.shape[1]):
        found = "no table" if table is None else f"a table {list(table.shape)}"
        raise GenrecError(
            f"`{recipe.name}` ({type(recipe).__name__}) made {found} for {count} items: `{EMBEDDINGS}` has a row of "
            f"{width or 'any number of'} numbers for each"
        )
    return np.asarray(table, np.float32)

"""What an identifier sees of the assets: tables with one row per item, new items included."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrec.assets.derived import Derived, Encoded
from genrec.assets.recipe import EMBEDDINGS, Asset, CFAsset, ItemCodes, TextAsset
from genrec.assets.store import AssetStore
from genrec.data import Catalog, Dataset
from genrec.errors import GenrecError
from genrec.seeds import Recipe, seed_of_run, with_seed


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
        """What the building of those that were asked for told about their results, by key (`key_of`)."""
        store = self._assets.store
        found = {key: store.diagnostics(asset, self._dataset) for key, asset in store.asked.items()}
        return {key: numbers for key, numbers in found.items() if numbers}

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

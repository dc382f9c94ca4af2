"""Collaborative embeddings: those that came with the data, as they came, and what cold items have in their place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from genrec.assets.recipe import EMBEDDINGS, CFAsset, hash_arrays, hash_lists
from genrec.data import Dataset
from genrec.errors import GenrecError

Cold = Literal["raw", "mean", "zero"]


@dataclass(frozen=True)
class ReleasedCF(CFAsset):
    """The embeddings that came with the data set (`Dataset.cf`).

    Args:
        cold: what the rows of cold items hold, see `replace_cold`.
        otherwise: makes the embeddings of a data set that came without.
    """

    cold: Cold = "raw"
    otherwise: CFAsset | None = None

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return "cf-released"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`."""
        if dataset.cf is None and self.otherwise:
            return self.otherwise.fingerprint(dataset)
        return {"cold": self.cold, "table": hash_arrays(_released(dataset)), "train": hash_lists(dataset.train)}

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        """See `Asset.build`."""
        if dataset.cf is None and self.otherwise:
            return self.otherwise.build(dataset, folder)
        return {EMBEDDINGS: replace_cold(_released(dataset), dataset, self.cold)}


def _released(dataset: Dataset) -> np.ndarray:
    if dataset.cf is None:
        raise GenrecError(
            f"`{dataset.name}` came without collaborative embeddings: use SASRecCF as `assets.cf`, which trains them"
        )
    return dataset.cf


def replace_cold(table: np.ndarray, dataset: Dataset, cold: Cold) -> np.ndarray:
    """The table [N, d] with other rows for cold items.

    A trained table holds next to nothing for them: they were only ever pushed away, all in one direction.

    Args:
        table: float32 [N, d].
        dataset: says which items are cold.
        cold: "raw" leaves the rows as they are (the release), "mean" gives the mean of the warm rows, "zero" zeros.
    """
    if cold == "raw":
        return table
    table = table.copy()
    table[~dataset.warm] = table[dataset.warm].mean(0) if cold == "mean" else 0
    return table

"""Collaborative embeddings: those that came with the data, or our own SASRec's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from genrec.assets.base import EMBEDDINGS, CFAsset, hash_arrays, hash_lists
from genrec.assets.sasrec import train_embeddings
from genrec.data import Dataset
from genrec.errors import GenrecError, at_least
from genrec.seeds import number

Cold = Literal["raw", "mean", "zero"]


@dataclass(frozen=True)
class SASRecCF(CFAsset):
    """The item table of a SASRec that is trained on the training split (`genrec.assets.sasrec.SASRec`).

    Args:
        dim: numbers per item.
        blocks: attention blocks.
        dropout: 0.5 for sparse data, 0.2 for dense.
        loss: "ce", a softmax over all items, or "bce" with one negative.
        max_epochs: at most.
        patience: epochs without a better NDCG@10 on validation before it stops.
        cold: what the rows of cold items hold, see `replace_cold`.
        seed: of the training; None is the run's.
    """

    dim: int = 64
    blocks: int = 2
    dropout: float = 0.5
    loss: Literal["ce", "bce"] = "ce"
    max_epochs: int = 200
    patience: int = 20
    cold: Cold = "raw"
    seed: int | None = None

    def __post_init__(self) -> None:
        sizes = {"dim": self.dim, "blocks": self.blocks, "max_epochs": self.max_epochs}
        at_least(1, "SASRecCF", **sizes)
        at_least(0, "SASRecCF", dropout=self.dropout, patience=self.patience)

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return f"cf-sasrec-{self.dim}"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`; validation only decides when to stop."""
        return {
            **asdict(self),
            "items": len(dataset.catalog),
            "train": hash_lists(dataset.train),
            "validation": hash_lists(dataset.validation),
        }

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        """See `Asset.build`."""
        table = train_embeddings(
            dataset,
            folder,
            network={"dim": self.dim, "blocks": self.blocks, "dropout": self.dropout, "loss": self.loss},
            max_epochs=self.max_epochs,
            patience=self.patience,
            seed=number(self.seed),
        )
        return {EMBEDDINGS: replace_cold(table, dataset, self.cold)}


@dataclass(frozen=True)
class ReleasedCF(CFAsset):
    """The embeddings that came with the data set (`Dataset.cf`).

    Args:
        cold: what the rows of cold items hold, see `replace_cold`.
        otherwise: makes the embeddings of a data set that came without.
    """

    cold: Cold = "raw"
    otherwise: SASRecCF | None = None

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

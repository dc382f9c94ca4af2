"""Collaborative embeddings that are trained here: the item table of a SASRec."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from genrec.assets.cf import Cold, replace_cold
from genrec.assets.recipe import EMBEDDINGS, CFAsset, hash_lists
from genrec.data import Dataset
from genrec.errors import at_least
from genrec.recommenders.sasrec import train_embeddings
from genrec.seeds import number


@dataclass(frozen=True)
class SASRecCF(CFAsset):
    """The item table of a SASRec that is trained on the training split (`genrec.recommenders.sasrec.SASRec`).

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

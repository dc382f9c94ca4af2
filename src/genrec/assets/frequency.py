"""How often the items were taken in training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genrec.assets.recipe import WithoutUsers, hash_lists
from genrec.data import Dataset


@dataclass(frozen=True)
class Frequency(WithoutUsers):
    """How often every item occurs in the training split: ``counts`` int64 [N], 0 for a cold item."""

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return "frequency"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`."""
        return {"items": len(dataset.catalog), "train": hash_lists(dataset.train)}

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        """See `Asset.build`."""
        return {"counts": dataset.frequency}

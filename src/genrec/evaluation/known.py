"""What evaluations of a data set look up once: popularity groups, and vectors of the items' texts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from genrec.assets.terms import Field, Terms
from genrec.data import Dataset
from genrec.evaluation.protocol import Measure, popularity_groups

TEXTS: tuple[Field, ...] = ("title", "categories", "brand")
"""What items are compared by, to say how different those of a list are: the same for every method."""


class Known(NamedTuple):
    """What is known of the items.

    Args:
        dataset: the items are of it.
        measure: what is measured.
        groups: see `popularity_groups`.
        texts: see `genrec.evaluation.beyond.Shelf`.
    """

    dataset: Dataset
    measure: Measure
    groups: np.ndarray
    texts: csr_array | None

    @classmethod
    def of(cls, dataset: Dataset, measure: Measure) -> Known:
        """Look it up.

        Raises:
            GenrecError: if texts are read and there are none.
        """
        texts = Terms(dataset.catalog, TEXTS).vectors(dataset.catalog) if measure.reads_texts else None
        return cls(dataset, measure, popularity_groups(dataset.frequency, dataset.candidates), texts)

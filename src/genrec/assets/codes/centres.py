"""Centres of points by k-means, and which of them is nearest: by faiss, for catalogues of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import faiss

ROUNDS = 25
"""Of k-means."""


def centres(points: np.ndarray, size: int, seed: int) -> np.ndarray:
    """``size`` centres float32 [size, d] of points float32 [n, d]; faiss looks at 256 points per centre at most.

    Where there are fewer points than centres, several centres stand on one point.
    """
    import faiss

    points = enough(points, size)
    found = faiss.Kmeans(points.shape[1], size, niter=ROUNDS, seed=seed % 2**31, min_points_per_centroid=1)
    found.train(points)
    return np.asarray(found.centroids)


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The nearest of centres float32 [size, d] for points float32 [n, d]: int64 [n], the first of several."""
    return flat(centres).search(np.ascontiguousarray(points), 1)[1][:, 0]


def flat(centres: np.ndarray) -> faiss.IndexFlatL2:
    """An index of centres."""
    import faiss

    index = faiss.IndexFlatL2(centres.shape[1])
    index.add(np.ascontiguousarray(centres))
    return index


def enough(points: np.ndarray, size: int) -> np.ndarray:
    """Points [n, d] as often as it takes for a point per centre: faiss refuses fewer."""
    points = np.ascontiguousarray(points, np.float32)
    return points if len(points) >= size else np.resize(points, (size, points.shape[1]))

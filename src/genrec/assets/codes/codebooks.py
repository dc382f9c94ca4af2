"""Where codebooks begin: k-means of what each level has to explain, over all items."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genrec.assets.codes.balance import distances, sinkhorn
from genrec.assets.codes.rqvae import RQVAE

ITERATIONS = 100
BALANCED_ITERATIONS = 10
BALANCED_EPSILON = 0.003


@torch.no_grad()
def initialize(network: RQVAE, text: Tensor, balanced: bool, seed: int) -> None:
    """Fill the codebooks, level by level, by k-means of the residuals of all items.

    Args:
        network: its encoder is taken as it is.
        text: [n, text_dim], embeddings as they come.
        balanced: clusters of about the same size (LETTER) instead of plain k-means (TIGER).
        seed: of the first centres.
    """
    residual = network.latents(text)
    for level, codebook in enumerate(network.codebooks):
        centers = kmeans(residual.numpy(force=True), len(codebook), seed + level)
        codebook.copy_(torch.from_numpy(centers))
        # Fewer than two points per code cannot be balanced.
        if balanced and len(text) >= 2 * len(codebook):
            codebook.copy_(balance(residual, codebook))
        residual = residual - codebook[distances(residual, codebook).argmin(1)]


def kmeans(points: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Centres [k, d] of points [n, d]: k-means++, 100 iterations, an empty cluster starts again from a far point.

    Where there are fewer distinct points than centres, the rest are random points.
    """
    from sklearn.cluster import KMeans  # takes a second, and codes are made once

    distinct = len(np.unique(points, axis=0))
    found = KMeans(min(k, distinct), n_init=1, max_iter=ITERATIONS, random_state=seed).fit(points).cluster_centers_
    rest = np.random.default_rng(seed).integers(len(points), size=k - len(found))
    return np.concatenate([found, points[rest]]).astype(points.dtype)


def balance(points: Tensor, centers: Tensor) -> Tensor:
    """Move centres [k, d] by Lloyd steps in which every centre gets about the same share of the points [n, d]."""
    for _ in range(BALANCED_ITERATIONS):
        labels = sinkhorn(distances(points, centers), BALANCED_EPSILON).argmax(1)
        counts = torch.bincount(labels, minlength=len(centers))
        sums = torch.zeros_like(centers).index_add_(0, labels, points)
        centers = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), centers)
    return centers

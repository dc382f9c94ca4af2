"""Where codebooks begin: at what each level has to explain, or anywhere."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from genrec.assets.codes.balance import distances, sinkhorn
from genrec.assets.codes.rqvae import RQVAE

Initial = Literal["kmeans", "items", "uniform"]

ITERATIONS = 100
BALANCED_ITERATIONS = 10
BALANCED_EPSILON = 0.003


@torch.no_grad()
def initialize(network: RQVAE, text: Tensor, balanced: bool, seed: int, initial: Initial = "kmeans") -> None:
    """Fill the codebooks, level by level.

    Args:
        network: its encoder is taken as it is.
        text: [n, text_dim], embeddings as they come.
        balanced: k-means makes clusters of about the same size (LETTER) instead of any (TIGER).
        seed: of the first centres, and of all that is drawn.
        initial: "kmeans" of the residuals of all items; the residuals of drawn "items"; or "uniform" between -1 / size
            and 1 / size, whatever the items, as in the first code of the VQ-VAE.
    """
    if initial == "uniform":
        size = network.codebooks.shape[1]
        drawn = np.random.default_rng(seed).uniform(-1 / size, 1 / size, network.codebooks.shape)
        network.codebooks.copy_(torch.from_numpy(drawn))
        return
    residual = network.latents(text)
    for level, codebook in enumerate(network.codebooks):
        points = residual.numpy(force=True)
        if initial == "items":
            rng = np.random.default_rng([seed, level])
            centers = points[rng.choice(len(points), len(codebook), replace=len(points) < len(codebook))]
        else:
            centers = kmeans(points, len(codebook), seed + level)
        codebook.copy_(torch.from_numpy(centers))
        # Fewer than two points per code cannot be balanced.
        if balanced and initial == "kmeans" and len(text) >= 2 * len(codebook):
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

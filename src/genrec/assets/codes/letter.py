"""What LETTER adds to the loss of a residual-quantised auto-encoder: alignment with behaviour, and diverse codes.

Wang et al., "Learnable Item Tokenization for Generative Recommendation" (LETTER), CIKM 2024, arXiv 2405.07314.
Reference implementation: github.com/HonghuiBao2000/LETTER, ``RQ-VAE/models``. Unlike there, items that are unknown to
the collaborative embeddings take no part in the alignment.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.assets.codes.balance import balanced_clusters
from genrec.assets.codes.rqvae import Quantized
from genrec.errors import GenrecError

Projection = Literal["none", "pca", "linear"]

CLUSTERS = 10
CLUSTER_ROUNDS = 10


def alignment_loss(latents: Tensor, cf: Tensor) -> Tensor:
    """In-batch InfoNCE of quantised latents [B, d] with the items' collaborative embeddings [B, d].

    Raw inner products, temperature 1, one direction: an item's latent must point to its own embedding rather than to
    another's of the batch. 0 for an empty batch.
    """
    target = torch.arange(len(latents), device=latents.device)
    return F.cross_entropy(latents @ cf.T, target, reduction="sum") / max(1, len(latents))


def diversity_loss(codebook: Tensor, codes: Tensor, positives: Tensor) -> Tensor:
    """A code's vector must be closer to another of its cluster than to all others; the mean over a batch's codes.

    Args:
        codebook: [size, d].
        codes: [B], the items' codes.
        positives: [B], for each another code of its cluster.
    """
    itself = torch.eye(len(codebook), dtype=torch.bool, device=codebook.device)
    log_likelihood = (codebook @ codebook.T).masked_fill(itself, -torch.inf).log_softmax(1)
    return -log_likelihood[codes, positives].mean()


def draw_positives(codes: Tensor, labels: Tensor) -> Tensor:
    """A random other code of the same cluster for each of codes [B]; ``labels`` [size] are the codes' clusters.

    Every cluster has at least two codes.
    """
    order = labels.argsort(stable=True)
    sizes = labels.bincount()
    starts = sizes.cumsum(0) - sizes
    place = order.argsort() - starts[labels]
    size, start = sizes[labels][codes], starts[labels][codes]
    # A step of 1 .. size-1 around the cluster never comes back to the code itself.
    step = 1 + (torch.rand(len(codes), device=codes.device) * (size - 1)).long()
    return order[start + (place[codes] + step) % size]


class Alignment(nn.Module):
    """`alignment_loss` over the items of a batch that are known to the collaborative embeddings.

    Args:
        cf: [N, c], collaborative embeddings.
        known: [N] bool, False for items that are neither anchors nor negatives.
        dim: d, the width of the latents.
        projection: how embeddings get the width d: "none" demands that they have it, "pca" takes their first principal
            components over the known items, "linear" trains a linear map.

    Raises:
        GenrecError: if the widths do not fit.
    """

    cf: Tensor
    known: Tensor

    def __init__(self, cf: np.ndarray, known: np.ndarray, dim: int, projection: Projection) -> None:
        super().__init__()
        if projection == "none" and cf.shape[1] != dim:
            raise GenrecError(
                f"latents of {dim} numbers cannot be aligned with collaborative embeddings of {cf.shape[1]}: leave the "
                "quantizer's `dim` out, or set `projection` to pca or linear"
            )
        if projection == "pca":
            if dim > min(cf.shape[1], known.sum()):
                raise GenrecError(
                    f"{known.sum()} collaborative embeddings of {cf.shape[1]} numbers have no {dim} principal "
                    "components: choose a smaller `dim` of the quantizer"
                )
            from sklearn.decomposition import PCA  # takes a second

            cf = PCA(dim, random_state=0).fit(cf[known]).transform(cf)
        self.map = nn.Linear(cf.shape[1], dim, bias=False) if projection == "linear" else nn.Identity()
        self.register_buffer("cf", torch.from_numpy(np.asarray(cf, dtype=np.float32)), persistent=False)
        self.register_buffer("known", torch.from_numpy(known), persistent=False)

    def forward(self, codebooks: Tensor, quantized: Quantized, rows: Tensor) -> Tensor:
        """The loss of a batch of item rows [B]."""
        known = self.known[rows]
        return alignment_loss(quantized.latents[known], self.map(self.cf[rows[known]]))


class Diversity(nn.Module):
    """`diversity_loss`, the mean over the levels.

    Args:
        refresh: batches after which the codes are clustered anew.
        seed: of the clusterings.
    """

    def __init__(self, refresh: int, seed: int) -> None:
        super().__init__()
        self.refresh = refresh
        self.rng = np.random.default_rng(seed)
        self.batches = 0

    def forward(self, codebooks: Tensor, quantized: Quantized, rows: Tensor) -> Tensor:
        """The loss of a batch; it moves the codebooks alone."""
        if self.batches % self.refresh == 0:
            self.labels = [
                torch.from_numpy(balanced_clusters(codebook, CLUSTERS, CLUSTER_ROUNDS, self.rng)).to(rows.device)
                for codebook in codebooks.numpy(force=True)
            ]
        self.batches += 1
        losses = [
            diversity_loss(codebook, codes, draw_positives(codes, labels))
            for codebook, codes, labels in zip(codebooks, quantized.codes.T, self.labels, strict=True)
        ]
        return torch.stack(losses).mean()

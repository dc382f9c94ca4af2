"""The residual-quantised auto-encoder: a text embedding becomes a short tuple of codes, from coarse to fine.

Rajput et al., "Recommender Systems with Generative Retrieval" (TIGER), NeurIPS 2023, arXiv 2305.05065, Section 3.1.
Where the paper is silent this follows the public implementations: biases, Xavier-normal weights, and residuals that
carry no gradient from the second level on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.assets.codes.balance import distances, sinkhorn
from genrec.assets.codes.layers import HIDDEN, mlp

Reduction = Literal["sum", "mean"]
Gradient = Literal["straight_through", "rotation"]
"""How what is decoded moves the latents, across the choice of codes."""

COMMITMENT = 0.25
"""Weight of what pulls latents to their codes: the beta of TIGER, the mu of LETTER."""

CHUNK = 2**16
"""Items that are encoded at a time."""
SMALL = 1e-6
"""A vector of this length has no direction."""
CONSTANT = 1e-6
"""A text feature whose standard deviation is below this says nothing, and is not scaled up."""


class Quantized(NamedTuple):
    """What quantisation made of latents; d is their width, L the number of levels.

    Args:
        codes: [B, L] long.
        latents: [B, d], the sum of the codes' vectors; its gradient goes to the latents, as `Gradient` says.
        residuals: [B, L, d], what every level had to explain.
        vectors: [B, L, d], the codes' vectors.
    """

    codes: Tensor
    latents: Tensor
    residuals: Tensor
    vectors: Tensor


def quantize(
    latents: Tensor,
    codebooks: Tensor,
    residual_grad: bool = False,
    epsilon: float = 0.0,
    gradient: Gradient = "straight_through",
) -> Quantized:
    """Give every latent its nearest code, what that leaves its nearest code of the next level, and so on.

    Args:
        latents: [B, d].
        codebooks: [L, size, d].
        residual_grad: let the commitment terms of all levels reach the latents, not those of the first alone.
        epsilon: above 0, the codes of the last level are shared out evenly over the batch (`sinkhorn`).
        gradient: "straight_through" hands the gradient on as if nothing had happened, "rotation" turns it (`rotated`).
    """
    residual = latents
    codes, residuals, vectors = [], [], []
    for level, codebook in enumerate(codebooks):
        cost = distances(residual.detach(), codebook.detach())
        balanced = epsilon > 0 and level == len(codebooks) - 1
        codes.append(sinkhorn(cost, epsilon).argmax(1) if balanced else cost.argmin(1))
        residuals.append(residual)
        vectors.append(codebook[codes[-1]])
        residual = residual - vectors[-1].detach()
        if not residual_grad:
            residual = residual.detach()
    total = torch.stack(vectors).sum(0)
    moved = latents if gradient == "straight_through" else rotated(latents, total.detach())
    return Quantized(
        torch.stack(codes, 1), moved + (total - moved).detach(), torch.stack(residuals, 1), torch.stack(vectors, 1)
    )


def rotated(latents: Tensor, onto: Tensor) -> Tensor:
    """Latents [B, d] rotated and stretched onto other vectors [B, d]; neither counts as a function of the latents.

    So a gradient comes back rotated and stretched the other way: what a latent and its code have as an angle to it
    stays as it is. The rotation trick (Fifty et al., "Restructuring Vector Quantization with the Rotation Trick", ICLR
    2025, arXiv 2410.06424, Section 4.2), of the sum of all levels' codes as one code: there are no levels in the paper.
    """
    lengths, wanted = latents.detach().norm(dim=1, keepdim=True), onto.norm(dim=1, keepdim=True)
    source, target = latents.detach() / lengths.clamp(min=SMALL), onto / wanted.clamp(min=SMALL)
    middle = F.normalize(source + target, dim=1, eps=SMALL)
    turned = latents - 2 * (latents * middle).sum(1, keepdim=True) * middle
    turned = turned + 2 * (latents * source).sum(1, keepdim=True) * target
    return turned * (wanted / lengths.clamp(min=SMALL))


def reconstruction_loss(decoded: Tensor, text: Tensor, reduction: Reduction) -> Tensor:
    """Squared error [B, d] of an item, summed or averaged over its features; the mean over the batch."""
    error = (decoded - text).square()
    return error.sum(1).mean() if reduction == "sum" else error.mean()


def quantization_loss(quantized: Quantized, reduction: Reduction) -> Tensor:
    """Codes move to the residuals they stand for, and latents, `COMMITMENT` times as much, to their codes.

    Args:
        quantized: of a batch.
        reduction: "sum" adds up the squared errors of the features and levels (TIGER's formula), "mean" averages them
            (the code of LETTER). The mean over the batch either way.
    """
    to_latents = (quantized.residuals.detach() - quantized.vectors).square()
    to_codes = (quantized.residuals - quantized.vectors.detach()).square()
    error = to_latents + COMMITMENT * to_codes
    return error.sum((1, 2)).mean() if reduction == "sum" else error.mean()


class RQVAE(nn.Module):
    """Encoder, codebooks and decoder.

    Text embeddings are standardised first, with statistics that are saved beside the weights. Nothing is initialised
    on the way through: codebooks are zeros until `genrec.assets.codes.codebooks.initialize` or a state fills them.

    Args:
        text_dim: width of the text embeddings.
        levels: L.
        size: codes of a level.
        dim: d, width of latents and codes.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, text_dim: int, levels: int, size: int, dim: int) -> None:
        super().__init__()
        sizes = (text_dim, *HIDDEN, dim)
        self.encoder = mlp(sizes)
        self.decoder = mlp(sizes[::-1])
        self.codebooks = nn.Parameter(torch.zeros(levels, size, dim))
        self.register_buffer("mean", torch.zeros(text_dim))
        self.register_buffer("std", torch.ones(text_dim))

    @torch.no_grad()
    def fit_scale(self, text: Tensor) -> None:
        """Take mean and standard deviation of every feature from the embeddings [n, text_dim]."""
        std = text.std(0, correction=0)
        self.mean.copy_(text.mean(0))
        self.std.copy_(torch.where(std < CONSTANT, 1.0, std))

    def standardize(self, text: Tensor) -> Tensor:
        """Every feature with zero mean and unit variance over what was fitted, [n, text_dim]."""
        return (text - self.mean) / self.std

    @torch.no_grad()
    def latents(self, text: Tensor) -> Tensor:
        """Latents [n, d] of text embeddings as they come, [n, text_dim]."""
        return torch.cat([self.encoder(self.standardize(part)) for part in text.split(CHUNK)])

    @torch.no_grad()
    def codes(self, text: Tensor) -> Tensor:
        """Nearest codes [n, L] of text embeddings as they come, [n, text_dim]."""
        return torch.cat([quantize(self.latents(part), self.codebooks).codes for part in text.split(CHUNK)])

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights, codebooks and statistics by name; `load` makes the network of them again."""
        return {name: value.numpy(force=True) for name, value in self.state_dict().items()}

    @staticmethod
    def load(arrays: Mapping[str, np.ndarray]) -> RQVAE:
        """The network that `arrays` came from; other arrays among them are left alone."""
        # Its first weights are drawn, and nobody's random numbers are to be others for it.
        with torch.random.fork_rng(devices=[]):
            network = RQVAE(len(arrays["mean"]), *arrays["codebooks"].shape)
        network.load_state_dict({name: torch.from_numpy(np.array(arrays[name])) for name in network.state_dict()})
        return network.eval()

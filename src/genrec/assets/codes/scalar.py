"""Finite scalar quantisation: an auto-encoder's latents are rounded to a grid, so there is no codebook to collapse.

Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", ICLR 2024, arXiv 2309.15505. By
vector-quantize-pytorch. Every digit of an item has some dimensions of its own, whose grid points are its codes: digits
stand side by side, none is the rest of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genrec import devices
from genrec.assets.codes.diagnostics import report
from genrec.assets.codes.fitted import PART, FittedCodes, check_grid, parts_of
from genrec.assets.codes.fitting import CLIP, WEIGHT_DECAY, batches
from genrec.assets.codes.layers import HIDDEN, mlp
from genrec.assets.codes.library import quantizers
from genrec.assets.codes.rqvae import CONSTANT
from genrec.data import Dataset
from genrec.errors import GenrecError, at_least
from genrec.seeds import number


@dataclass(frozen=True)
class FSQCodes(FittedCodes):
    """Latents of an auto-encoder of the embeddings, rounded. Items may share their codes.

    Args:
        digits: codes of an item.
        grid: values of each dimension of a digit, 3 or more; their product is the number of codes to choose from.
        steps: of training, with AdamW.
        batch_size: items of a step.
        lr: learning rate.
        source: the embeddings that are quantised, by name.
        fit_items: "warm" trains on the items of the training split alone, and names the others as if they were new.
        items: at most so many, drawn at random, are trained on; all get codes.
        seed: of all that is drawn; None is the run's.
    """

    digits: int = 3
    grid: Sequence[int] = (8, 6, 5)
    steps: int = 4_000
    batch_size: int = 1024
    lr: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, "FSQCodes", steps=self.steps, batch_size=self.batch_size)
        at_least(0, "FSQCodes", lr=self.lr)
        if not self.grid or min(self.grid) < 3:
            raise GenrecError(f"the grid of FSQCodes has 3 values or more in each dimension, got {list(self.grid)}")
        check_grid("FSQCodes", self.digits, self.size, 1)

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return "codes-fsq"

    @property
    def length(self) -> int:
        """See `ItemCodes.length`."""
        return self.digits

    @property
    def size(self) -> int:
        """See `ItemCodes.size`."""
        return prod(self.grid)

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `FromEmbeddings.fingerprint`."""
        return {**super().fingerprint(dataset), "grid": list(self.grid)}

    def build(self, dataset: Dataset, folder: Path, embeddings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `FromEmbeddings.build`; with the auto-encoder's weights, and ``mean`` and ``std`` [d] of the embeddings.

        Raises:
            GenrecError: if the package that does it is not installed.
        """
        table = self.table(dataset, embeddings)
        std = table.std(0)
        scale = {"mean": table.mean(0), "std": np.where(std < CONSTANT, 1, std).astype(np.float32)}
        network = self._trained(torch.from_numpy(_scaled(table, scale)))
        built = {**scale, **{name: value.numpy() for name, value in network.state_dict().items()}}
        codes = self.encode(embeddings, built)
        told = {"reconstruction": _error(network, _scaled(table, scale))}
        report(f"{self.name} of {dataset.name}", folder, torch.from_numpy(codes), self.size, told)
        return {"codes": codes, **built}

    def encode(self, embeddings: Mapping[str, np.ndarray], built: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `ItemCodes.encode`: the nearest points of the grid.

        Raises:
            GenrecError: if the package that does it is not installed.
        """
        with torch.random.fork_rng(devices=[]):
            network = self._network(len(built["mean"]))
        network.load_state_dict({name: torch.from_numpy(np.array(built[name])) for name in network.state_dict()})
        parts = [_applied(network, _scaled(part, built))[1].numpy() for part in parts_of(embeddings[self.source])]
        return np.concatenate([np.empty((0, self.digits), np.int64), *parts])

    def _network(self, width: int) -> _AutoEncoder:
        return _AutoEncoder(width, self.digits, self.grid)

    def _trained(self, points: Tensor) -> _AutoEncoder:
        """The auto-encoder after all steps, on the CPU; it learns on a GPU if there is one."""
        device = devices.gpu() or torch.device("cpu")
        with torch.random.fork_rng():
            torch.manual_seed(number(self.seed))
            network, points = self._network(points.shape[1]).to(device), points.to(device)
            network.spread(points[:PART])
            optimizer = torch.optim.AdamW(network.parameters(), self.lr, weight_decay=WEIGHT_DECAY)
            order = batches(len(points), self.batch_size)
            for _ in range(self.steps):
                part = points[next(order).to(device)]
                optimizer.zero_grad()
                (network(part)[0] - part).square().mean().backward()
                nn.utils.clip_grad_norm_(network.parameters(), CLIP)
                optimizer.step()
        return network.cpu().eval()


class _AutoEncoder(nn.Module):
    """Encoder, grid and decoder.

    Args:
        width: d, of the embeddings.
        digits: m.
        grid: see `FSQCodes`.
    """

    def __init__(self, width: int, digits: int, grid: Sequence[int]) -> None:
        super().__init__()
        sizes = (width, *HIDDEN, digits * len(grid))
        self.encoder = mlp(sizes)
        self.decoder = mlp(sizes[::-1])
        self.rounding = quantizers("FSQCodes").FSQ(list(grid), num_codebooks=digits, keep_num_codebooks_dim=True)

    @torch.no_grad()
    def spread(self, points: Tensor) -> None:
        """Let the latents of points [n, d] begin with zero mean and unit variance, so that they fill the grid.

        Latents that are all rounded to one point, as small ones are, teach the decoder nothing, nor it them.
        """
        latents: Tensor = self.encoder(points)
        last: Any = self.encoder[-1]
        std = latents.std(0, correction=0).clamp(min=CONSTANT)
        last.weight.div_(std[:, None])
        last.bias.copy_((last.bias - latents.mean(0)) / std)

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """What is decoded [n, d], and the codes [n, m], of standardised embeddings [n, d]."""
        rounded, codes = self.rounding(self.encoder(points)[:, None])
        return self.decoder(rounded[:, 0]), codes[:, 0].long()


def _scaled(table: np.ndarray, built: Mapping[str, np.ndarray]) -> np.ndarray:
    """Every feature with zero mean and unit variance over what was fitted, [n, d]."""
    return (table - built["mean"]) / built["std"]


@torch.no_grad()
def _applied(network: _AutoEncoder, points: np.ndarray) -> tuple[Tensor, Tensor]:
    return network(torch.from_numpy(points))


def _error(network: _AutoEncoder, points: np.ndarray) -> float:
    """The mean square of what is lost of a standardised feature."""
    total = sum(np.square(_applied(network, part)[0].numpy() - part).sum() for part in parts_of(points))
    return float(total / points.size)

"""Residual vector quantisation by moving averages: centres follow the items of a batch, and unused ones start again.

Codes from coarse to fine, as those of residual k-means, of which a batch is looked at at a time: averages of van den
Oord et al., "Neural Discrete Representation Learning", 2017, arXiv 1711.00937, Appendix A.1, on every level, as in
Zeghidour et al., "SoundStream", 2021, arXiv 2107.03312, Algorithm 1. By vector-quantize-pytorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genrec import devices
from genrec.assets.codes.centres import enough, nearest
from genrec.assets.codes.diagnostics import report
from genrec.assets.codes.fitted import FittedCodes, check_grid, lost
from genrec.assets.codes.fitting import batches
from genrec.assets.codes.library import quantizers
from genrec.assets.codes.residual import quantize
from genrec.data import Dataset
from genrec.errors import GenrecError, at_least
from genrec.seeds import number

FIRST = 16
"""Points per centre that the k-means looks at where the centres begin."""


@dataclass(frozen=True)
class RVQCodes(FittedCodes):
    """Centres of the embeddings, then of what each level leaves unexplained, as moving averages of their items.

    Items may share their codes.

    Args:
        levels: L, codes of an item.
        size: centres of a level.
        decay: how much of an average stays at a step.
        reset_below: a centre that is used less than this share of the average is put on a random point of the batch;
            0 is never.
        steps: batches that are looked at.
        batch_size: items of a step.
        source: the embeddings that are quantised, by name.
        fit_items: "warm" fits to the items of the training split alone, and names the others as if they were new.
        items: at most so many, drawn at random, are fitted to; all get codes.
        seed: of all that is drawn; None is the run's.
    """

    levels: int = 3
    size: int = 256
    decay: float = 0.99
    reset_below: float = 0.1
    steps: int = 1_000
    batch_size: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, "RVQCodes", steps=self.steps, batch_size=self.batch_size)
        check_grid("RVQCodes", self.levels, self.size, 1)
        if not (0 <= self.decay < 1 and 0 <= self.reset_below < 1):
            raise GenrecError(
                "RVQCodes takes shares from 0 to below 1 as decay and reset_below, got "
                f"decay={self.decay}, reset_below={self.reset_below}"
            )

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return "codes-rvq"

    @property
    def length(self) -> int:
        """See `ItemCodes.length`."""
        return self.levels

    def build(self, dataset: Dataset, folder: Path, embeddings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `FromEmbeddings.build`; with ``mean`` [d] and ``codebooks`` [L, size, d].

        Raises:
            GenrecError: if the package that does it is not installed.
        """
        table = self.table(dataset, embeddings)
        mean = table.mean(0)
        built = {"mean": mean, "codebooks": self._codebooks(enough(table - mean, self.size))}
        codes = quantize(embeddings[self.source], built, nearest)
        rest = table - mean
        for book, column in zip(built["codebooks"], quantize(table, built, nearest).T, strict=True):
            rest = rest - book[column]
        told = {"reconstruction": lost(table, rest)}
        report(f"{self.name} of {dataset.name}", folder, torch.from_numpy(codes), self.size, told)
        return {"codes": codes, **built}

    def encode(self, embeddings: Mapping[str, np.ndarray], built: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `ItemCodes.encode`: the nearest centres."""
        return quantize(embeddings[self.source], built, nearest)

    @torch.no_grad()
    def _codebooks(self, points: np.ndarray) -> np.ndarray:
        """Centres [L, size, d] for points [n, d], at least as many as centres; on a GPU if there is one."""
        batch = min(self.batch_size, len(points))
        network = quantizers(type(self).__name__).ResidualVQ(
            dim=points.shape[1],
            num_quantizers=self.levels,
            codebook_size=self.size,
            kmeans_init=True,
            decay=self.decay,
            threshold_ema_dead_code=self.reset_below * batch / self.size,
            # One process makes codes while others wait: it must not ask them for theirs.
            sync_codebook=False,
        )
        device = devices.gpu() or torch.device("cpu")
        with torch.random.fork_rng():
            torch.manual_seed(number(self.seed))
            network.to(device).train()
            # The centres begin in more points than those of a batch, which may be fewer than centres.
            network(_rows(points, torch.randperm(len(points))[: FIRST * self.size], device))
            order = batches(len(points), batch)
            for _ in range(self.steps):
                network(_rows(points, next(order), device))
        return network.codebooks.numpy(force=True)


def _rows(points: np.ndarray, rows: Tensor, device: torch.device) -> Tensor:
    return torch.from_numpy(points[rows.numpy()]).to(device)

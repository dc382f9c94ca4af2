"""Residual k-means: the nearest centre, then the nearest to what that leaves, and so on. Nothing is trained.

Codes from coarse to fine, as those of the residual-quantised auto-encoder, but of the embeddings as they are: Luo et
al., "QARM", 2024, arXiv 2411.11739; with clusters of equal sizes: Deng et al., "OneRec", 2025, arXiv 2502.18965.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genrec.assets.codes.balance import share_out
from genrec.assets.codes.centres import centres, nearest
from genrec.assets.codes.diagnostics import report
from genrec.assets.codes.fitted import FittedCodes, check_grid, lost, parts_of
from genrec.data import Dataset
from genrec.seeds import number

ROUNDS = 10
"""Of balanced k-means."""


@dataclass(frozen=True)
class RQKMeansCodes(FittedCodes):
    """k-means (faiss) of the embeddings, then of what each level leaves unexplained. Items may share their codes.

    Args:
        levels: L, codes of an item.
        size: centres of a level.
        balanced: clusters of equal sizes on every level, one item more or less. Items that are added later get the
            nearest centres, however full they are.
        source: the embeddings that are quantised, by name.
        fit_items: "warm" fits to the items of the training split alone, and names the others as if they were new.
        items: at most so many, drawn at random, are fitted to; all get codes.
        seed: of the k-means and of the draw; None is the run's.
    """

    levels: int = 3
    size: int = 256
    balanced: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_grid("RQKMeansCodes", self.levels, self.size, 1)

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return "codes-rqkmeans"

    @property
    def length(self) -> int:
        """See `ItemCodes.length`."""
        return self.levels

    def build(self, dataset: Dataset, folder: Path, embeddings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `FromEmbeddings.build`; with ``mean`` [d] and ``codebooks`` [L, size, d]."""
        table = self.table(dataset, embeddings)
        mean, books = table.mean(0), []
        residual = table - mean
        for level in range(self.levels):
            books.append(centres(residual, self.size, number(self.seed) + level))
            if self.balanced:
                books[-1] = _balance(residual, books[-1])
            residual = residual - books[-1][self._assign(residual, books[-1])]
        built = {"mean": mean, "codebooks": np.stack(books)}
        codes = quantize(embeddings[self.source], built, self._assign)
        told = {"reconstruction": lost(table, residual)}
        report(f"{self.name} of {dataset.name}", folder, torch.from_numpy(codes), self.size, told)
        return {"codes": codes, **built}

    def encode(self, embeddings: Mapping[str, np.ndarray], built: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `ItemCodes.encode`: the nearest centres."""
        return quantize(embeddings[self.source], built, nearest)

    def _assign(self, residual: np.ndarray, book: np.ndarray) -> np.ndarray:
        """The codes int64 [n] of items that the codebook is made for."""
        return share_out(residual, book) if self.balanced else nearest(residual, book)


def quantize(
    table: np.ndarray, built: Mapping[str, np.ndarray], assign: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """The codes int64 [n, L] of embeddings [n, d]; ``assign`` chooses those of one level."""
    codes = np.empty((len(table), len(built["codebooks"])), np.int64)
    start = 0
    for part in parts_of(table):
        residual, stop = part - built["mean"], start + len(part)
        for level, book in enumerate(built["codebooks"]):
            codes[start:stop, level] = assign(residual, book)
            residual = residual - book[codes[start:stop, level]]
        start = stop
    return codes


def _balance(points: np.ndarray, book: np.ndarray) -> np.ndarray:
    """Centres [size, d] after Lloyd steps in which each gets about the same number of points [n, d]."""
    for _ in range(ROUNDS):
        labels = share_out(points, book)
        counts = np.bincount(labels, minlength=len(book)).astype(book.dtype)
        sums = np.zeros_like(book)
        np.add.at(sums, labels, points)
        book = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], book)
    return book

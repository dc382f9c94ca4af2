"""Product quantisation: an embedding is cut into parts, and every part has codes of its own, in no order.

Jegou et al., "Product Quantization for Nearest Neighbor Search", TPAMI 2011; with a learned rotation before the cut: Ge
et al., "Optimized Product Quantization", CVPR 2013. RPG names items so (Hou et al., KDD 2025, arXiv 2506.05781, Section
3.1): whitened principal components, rotated, cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genrec.assets.codes.centres import centres, enough, nearest
from genrec.assets.codes.diagnostics import report
from genrec.assets.codes.fitted import FittedCodes, check_grid, lost, parts_of
from genrec.data import Dataset
from genrec.errors import GenrecError
from genrec.seeds import number

SILENT = 1e-6
"""A direction with less than this share of the largest variance says nothing, and whitening would blow it up."""
ROTATIONS = 20
"""Rounds of OPQ, each a k-means of every part and the best rotation to its centres."""


@dataclass(frozen=True)
class PQCodes(FittedCodes):
    """Every part of an embedding gets the nearest of ``size`` centres, found by k-means. Items may share all codes.

    Args:
        digits: m, the parts, codes of an item.
        size: centres of a part; a power of two with ``rotate``.
        dim: principal components that are kept: at most as many as say anything, and a multiple of the digits.
        whiten: give every component unit variance.
        rotate: learn the rotation after which the parts explain most (OPQ); False deals the components out, strong and
            weak ones to all parts.
        source: the embeddings that are quantised, by name.
        fit_items: "warm" fits to the items of the training split alone, and names the others as if they were new.
        items: at most so many, drawn at random, are fitted to; all get codes.
        seed: of the k-means and of the draw; None is the run's.
    """

    digits: int = 32
    size: int = 256
    dim: int = 512
    whiten: bool = True
    rotate: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_grid("PQCodes", self.digits, self.size, 1)
        if self.rotate and self.size & (self.size - 1):
            raise GenrecError(f"PQCodes with a rotation needs a power of two as size, such as 256, got {self.size}")

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return "codes-pq"

    @property
    def length(self) -> int:
        """See `ItemCodes.length`."""
        return self.digits

    def build(self, dataset: Dataset, folder: Path, embeddings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `FromEmbeddings.build`; with ``mean`` [d], ``axes`` [d', d] and ``centres`` [m, size, d' / m].

        Raises:
            GenrecError: if the embeddings cannot be cut into so many parts.
        """
        table = self.table(dataset, embeddings)
        built = self._components(table)
        points = _mapped(table, built)
        if self.rotate:
            rotation = self._rotation(points)
            built["axes"], points = rotation @ built["axes"], points @ rotation.T
        seeds = np.random.SeedSequence(number(self.seed)).generate_state(self.digits)
        parts = np.split(points, self.digits, 1)
        built["centres"] = np.stack(
            [centres(part, self.size, int(seed)) for part, seed in zip(parts, seeds, strict=True)]
        )
        codes = self.encode(embeddings, built)
        told = {"components": points.shape[1], "reconstruction": self._lost(points, built)}
        report(f"{self.name} of {dataset.name}", folder, torch.from_numpy(codes), self.size, told)
        return {"codes": codes, **built}

    def encode(self, embeddings: Mapping[str, np.ndarray], built: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `ItemCodes.encode`: the nearest centres."""
        found = [_codes(_mapped(part, built), built["centres"]) for part in parts_of(embeddings[self.source])]
        return np.concatenate([np.empty((0, self.digits), np.int64), *found])

    def _components(self, table: np.ndarray) -> dict[str, np.ndarray]:
        """The affine map to principal components, the strongest first, dealt out to the parts."""
        from sklearn.decomposition import PCA  # takes a second, and codes are made once

        found = PCA(min(self.dim, *table.shape), svd_solver="covariance_eigh").fit(table)
        variance = found.explained_variance_
        width = int((variance > SILENT * variance[0]).sum()) // self.digits * self.digits
        if not width:
            raise GenrecError(
                f"{len(table):,} embeddings `{self.source}` of {table.shape[1]} numbers cannot be cut into "
                f"{self.digits} parts: they have fewer directions than that; lower `digits` of PQCodes"
            )
        order = np.arange(width).reshape(-1, self.digits).T.ravel()
        scale = np.sqrt(variance[order]) if self.whiten else np.ones(width)
        return {"mean": found.mean_, "axes": (found.components_[order] / scale[:, None]).astype(np.float32)}

    def _rotation(self, points: np.ndarray) -> np.ndarray:
        """The rotation [d', d'] that OPQ learns for points [n, d']."""
        import faiss

        width = points.shape[1]
        quantizer = faiss.ProductQuantizer(width, self.digits, self.size.bit_length() - 1)
        quantizer.cp.seed = number(self.seed) % 2**31
        quantizer.cp.min_points_per_centroid = 1
        found = faiss.OPQMatrix(width, self.digits)
        found.pq, found.niter = quantizer, ROTATIONS
        found.train(enough(points, self.size))
        return faiss.vector_to_array(found.A).reshape(width, width)

    @staticmethod
    def _lost(points: np.ndarray, built: Mapping[str, np.ndarray]) -> float:
        codes = _codes(points, built["centres"])
        decoded = [part[column] for part, column in zip(built["centres"], codes.T, strict=True)]
        return lost(points, points - np.concatenate(decoded, 1))


def _mapped(table: np.ndarray, built: Mapping[str, np.ndarray]) -> np.ndarray:
    """Embeddings [n, d] as points [n, d'] whose parts are quantised."""
    return np.ascontiguousarray((table - built["mean"]) @ built["axes"].T, np.float32)


def _codes(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The nearest of the centres [m, size, d'/m] for each part of points [n, d']: int64 [n, m]."""
    parts = np.split(points, len(centres), 1)
    return np.stack([nearest(part, each) for part, each in zip(parts, centres, strict=True)], 1)

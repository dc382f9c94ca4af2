"""Clusters of items that are taken together: recursive spectral clustering of the training split's co-occurrences.

Hua et al., "How to Index Item IDs for Recommendation Foundation Models", SIGIR-AP 2023, arXiv 2305.06569 (collaborative
indexing). Reference implementation: github.com/agiresearch/OpenP5, `src_t5/utils/indexing.py`. As there, but sparse:
leading eigenvectors by LOBPCG instead of a dense decomposition, and graphs that fall apart are dealt with.
"""

from __future__ import annotations

import json
import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from genrec.assets.recipe import Asset, hash_lists
from genrec.assets.store import DIAGNOSTICS
from genrec.data import Dataset, Ragged
from genrec.errors import GenrecError
from genrec.seeds import number

PATHS = "paths"
"""The array of the asset: int64 [N, depth]."""

EPSILON = 1e-6
"""Every item is joined to all others by so much of the average item's co-occurrences: the graph is in one piece."""
TOLERANCE = 1e-5
ITERATIONS = 200
"""LOBPCG: the accuracy that is asked for, and when to go on without it. Labels do not depend on the last digits."""


@dataclass(frozen=True)
class CooccurrenceClusters(Asset):
    """A tree of clusters over the items of the training split: ``paths`` int64 [N, depth].

    A row holds the numbers of the clusters that the item is in, from the widest to the narrowest, -1 behind the last.
    Clusters are numbered in the order of their creation, breadth first, modulo `leaf`; siblings have different numbers,
    so two items share a path only if they are in the same narrowest cluster. Rows of cold items are all -1.

    Args:
        branching: N of the paper, the clusters that a cluster is split into, at most.
        leaf: k of the paper, the size above which a cluster is split.
        seed: of the vectors that the search for eigenvectors starts from; None is the run's.

    Raises:
        GenrecError: if ``branching`` is below 2 or above ``leaf``: siblings would have the same number.
    """

    branching: int = 20
    leaf: int = 500
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.branching <= self.leaf:
            raise GenrecError(
                f"clusters are split into 2 or more, and at most `leaf` many, so that all have different numbers; got "
                f"branching={self.branching}, leaf={self.leaf}"
            )

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return f"clusters-{self.branching}-{self.leaf}"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`."""
        return {**asdict(self), "items": len(dataset.catalog), "train": hash_lists(dataset.train)}

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        """See `Asset.build`; what the tree looks like is printed and kept."""
        warm = np.flatnonzero(dataset.warm)
        graph = cooccurrences(dataset.train, len(dataset.catalog))[warm][:, warm]
        of_warm = cluster_paths(graph, self.branching, self.leaf, number(self.seed))
        numbers = diagnose(of_warm, graph)
        (folder / DIAGNOSTICS).write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
        print(f"{self.name} of {dataset.name}: {describe(numbers)}")
        paths = np.full((len(dataset.catalog), of_warm.shape[1]), -1)
        paths[warm] = of_warm
        return {PATHS: paths}


def diagnose(paths: np.ndarray, graph: scipy.sparse.csr_array) -> dict[str, Any]:
    """What a tree over n items looks like, as json.

    Args:
        paths: int64 [n, depth], as `CooccurrenceClusters`.
        graph: [n, n], what it was made from.

    Returns:
        ``items``; how many of them are ``isolated``, without any co-occurrence; ``leaves`` and their ``smallest``,
        ``median`` and ``largest`` size; the ``items_by_depth``; and the distinct ``prefixes`` of every length.
    """
    sizes = np.unique(paths, axis=0, return_counts=True)[1]
    tops = [paths[paths[:, depth] >= 0, : depth + 1] for depth in range(paths.shape[1])]
    return {
        "items": len(paths),
        "isolated": int((graph.sum(1) == 0).sum()),
        "leaves": len(sizes),
        "smallest": int(sizes.min()),
        "median": float(np.median(sizes)),
        "largest": int(sizes.max()),
        "items_by_depth": np.bincount((paths >= 0).sum(1), minlength=paths.shape[1] + 1)[1:].tolist(),
        "prefixes": [len(np.unique(top, axis=0)) for top in tops],
    }


def describe(numbers: Mapping[str, Any]) -> str:
    """`diagnose`'s numbers in a line for people."""
    prefixes = ", ".join(map(str, numbers["prefixes"]))
    return (
        f"{numbers['items']} items ({numbers['isolated']} isolated) in {numbers['leaves']} leaves of "
        f"{numbers['smallest']} to {numbers['largest']}, median {numbers['median']:g}; clusters by level: {prefixes}"
    )


def cooccurrences(lists: Ragged, n_items: int) -> scipy.sparse.csr_array:
    """How often two items stand in one list, over all pairs of positions: float64 [N, N], symmetric, zero diagonal."""
    ones = np.ones(len(lists.values))
    counts = scipy.sparse.csr_array((ones, (lists.rows, lists.values)), shape=(len(lists), n_items))
    graph = scipy.sparse.csr_array(counts.T @ counts)
    graph.setdiag(0)
    graph.eliminate_zeros()
    # Sums run in the order of the columns, whatever the order of the users.
    graph.sort_indices()
    return graph


def cluster_paths(graph: scipy.sparse.csr_array, branching: int, leaf: int, seed: int) -> np.ndarray:
    """Split all items, then every cluster of more than ``leaf`` items: int64 [N, depth], as `CooccurrenceClusters`."""
    levels: list[np.ndarray] = []
    created = 0
    queue = deque([(np.arange(graph.shape[0]), 0)])
    while queue:
        items, depth = queue.popleft()
        if depth == len(levels):
            levels.append(np.full(graph.shape[0], -1))
        labels = split(graph[items][:, items], min(branching, len(items)), seed)
        for label in np.unique(labels):
            members = items[labels == label]
            levels[depth][members] = created % leaf
            created += 1
            if len(members) > leaf:
                queue.append((members, depth + 1))
    return np.stack(levels, 1)


def split(graph: scipy.sparse.csr_array, parts: int, seed: int) -> np.ndarray:
    """Spectral clustering with the normalised Laplacian, labels by pivoted QR; equal parts where that finds nothing.

    Args:
        graph: [n, n], symmetric weights.
        parts: at most so many clusters, n or fewer.
        seed: of the start vectors.

    Returns:
        int64 [n], the cluster of every node, 0 .. parts - 1; some may be empty, but not all except one, unless n is 1.
    """
    size = graph.shape[0]
    if graph.nnz:
        labels = cluster_qr(_embed(graph, parts, seed))
        if (labels != labels[0]).any():
            return labels
    return np.arange(size) * parts // size


def _embed(graph: scipy.sparse.csr_array, dims: int, seed: int) -> np.ndarray:
    """The leading eigenvectors u of the random walk D^-1 A, float64 [n, dims], those of D^-1/2 A D^-1/2 over D^1/2."""
    size = graph.shape[0]
    degrees = graph.sum(1)
    epsilon = EPSILON * degrees.mean()
    root = np.sqrt(degrees + epsilon)[:, None]

    def product(x: np.ndarray) -> np.ndarray:
        x = x.reshape(size, -1) / root
        return (graph @ x + epsilon / size * x.sum(0)) / root

    start = np.random.default_rng(seed).standard_normal((size, dims))
    with warnings.catch_warnings():
        # Says that it stopped before the tolerance, or that it decomposed a small matrix at once: both are fine here.
        warnings.simplefilter("ignore", UserWarning)
        operator = scipy.sparse.linalg.LinearOperator((size, size), matvec=product, matmat=product, dtype=np.float64)
        vectors = scipy.sparse.linalg.lobpcg(operator, start, largest=True, tol=TOLERANCE, maxiter=ITERATIONS)[1]
    return vectors / root


def cluster_qr(vectors: np.ndarray) -> np.ndarray:
    """Labels from eigenvectors: rotate them onto rows that stand far apart, and take the largest coordinate.

    Damle, Minden and Ying, "Simple, direct and efficient multi-way spectral clustering", 2019, arXiv 1609.08251.

    Args:
        vectors: [n, k], n at least k.

    Returns:
        int64 [n], labels 0 .. k - 1.
    """
    _, _, pivots = scipy.linalg.qr(vectors.T, mode="economic", pivoting=True)
    left, _, right = scipy.linalg.svd(vectors[pivots[: vectors.shape[1]]].T)
    return np.abs(vectors @ (left @ right)).argmax(1)

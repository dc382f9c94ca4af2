"""The items with the largest inner products, by faiss: all compared, or only those of the most promising lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from genrec.backbones import Backbone, Memory

if TYPE_CHECKING:
    import faiss

Kind = Literal["exact", "approximate"]

SAMPLE = 40
"""Vectors per list that the lists are learned from."""
ROUNDS = 10
"""Of k-means."""


@runtime_checkable
class InnerProducts(Protocol):
    """An identifier that scores an item by ONE inner product, so that a vector index can rank for it."""

    def item_vectors(self) -> Tensor:
        """The items' vectors [N, d], from the current tables."""

    def user_vectors(self, backbone: Backbone, memory: Memory) -> Tensor:
        """The users' vectors [B, d], from prompts that were read; an item's score is the product with its own."""


class VectorIndex:
    """Maximum inner product search over a table that may grow.

    ``exact`` compares every query with every vector. ``approximate`` sorts the vectors into as many lists as the root
    of their number, by k-means, and looks into the lists whose centres have the largest products with the query (an
    inverted file; Jegou et al., 2011). How many must be looked into differs from table to table: `tune` finds out.

    Args:
        vectors: [N, d] float.
        kind: exact or approximate.

    Attributes:
        lists: how many there are; 0 for an exact index.
        probes: how many a query looks into.
    """

    def __init__(self, vectors: Tensor, kind: Kind = "exact") -> None:
        import faiss  # only who asks for an index needs it

        table = _array(vectors)
        self._index: Any = faiss.IndexFlatIP(table.shape[1])
        self.lists = self.probes = 0
        if kind == "approximate":
            self.lists = self.probes = max(1, round(len(table) ** 0.5))
            self._index = faiss.IndexIVFFlat(self._index, table.shape[1], self.lists, faiss.METRIC_INNER_PRODUCT)
            self._index.cp.min_points_per_centroid = 1  # small tables are no mistake
            self._index.cp.max_points_per_centroid = SAMPLE
            self._index.cp.niter = ROUNDS
            self._index.train(table)
        self._index.add(table)

    def __len__(self) -> int:
        return self._index.ntotal

    def add(self, vectors: Tensor) -> None:
        """Put vectors [n, d] behind those that are there; the lists stay as they were learned."""
        self._index.add(_array(vectors))

    def search(self, queries: Tensor, k: int, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The rows with the largest products.

        Args:
            queries: [B, d] float.
            k: how many, at most as many as are allowed.
            allowed: bool [N], the rows that may be found; None allows all.

        Returns:
            rows long [B, k] and products float [B, k], falling; always k of them: where the lists hold too few allowed
            rows, the query looks into all.
        """
        asked = _array(queries)
        selector = None if allowed is None or allowed.all() else _selector(allowed)
        products, rows = self._search(asked, k, selector, self.probes)
        if self.lists and len(short := np.flatnonzero((rows < 0).any(1))):
            products[short], rows[short] = self._search(asked[short], k, selector, self.lists)
        return torch.from_numpy(rows).to(queries.device), torch.from_numpy(products).to(queries.device)

    def _search(
        self, queries: np.ndarray, k: int, selector: faiss.IDSelector | None, probes: int
    ) -> tuple[np.ndarray, np.ndarray]:
        import faiss

        # The stubs are those of the C++ classes, which take no arguments.
        options: Any = {"sel": selector, "nprobe": probes} if self.lists else {"sel": selector}
        parameters: Any = faiss.SearchParametersIVF if self.lists else faiss.SearchParameters
        return self._index.search(queries, k, params=parameters(**options))

    def tune(self, queries: Tensor, k: int, recall: float) -> None:
        """Look into as few lists as will do, a power of two or all of them; nothing, for an exact index.

        Args:
            queries: [B, d], such as will be asked.
            k: how many rows will be asked for.
            recall: the share of the true best k that must be found.
        """
        if not self.lists:
            return
        best = self._best(queries, k)
        self.probes = 1
        while self.probes < self.lists and self._share(queries, best) < recall:
            self.probes = min(2 * self.probes, self.lists)

    def recall(self, queries: Tensor, k: int) -> float:
        """The share of the true best k that is found for queries [B, d]; 1 for an exact index."""
        return self._share(queries, self._best(queries, k)) if self.lists else 1.0

    def _best(self, queries: Tensor, k: int) -> np.ndarray:
        """The true best rows [B, k]: all lists hold all vectors."""
        return self._search(_array(queries), k, None, self.lists)[1]

    def _share(self, queries: Tensor, best: np.ndarray) -> float:
        found = self.search(queries, best.shape[1])[0].cpu().numpy()
        return float((found[:, :, None] == best[:, None, :]).any(1).mean())


def _array(vectors: Tensor) -> np.ndarray:
    return np.ascontiguousarray(vectors.detach().float().cpu().numpy())


def _selector(allowed: Tensor) -> faiss.IDSelector:
    import faiss

    bits: Any = np.packbits(allowed.cpu().numpy(), bitorder="little")
    return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg]

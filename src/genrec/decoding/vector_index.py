"""The items with the largest inner products: all compared, or only those that an index brings up."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from genrec.backbones import Backbone, Memory
from genrec.decoding.grounding import first_best, inner_products, items_at_once, top_k_in_parts
from genrec.decoding.structures import PART, Graph, Lists, Structure
from genrec.devices import held_at_once, widen

Kind = Literal["exact", "ivf", "hnsw", "ivf_pq"]
DEEPEST = 64
"""Times as many candidates as are asked for are compared exactly, at most."""


@runtime_checkable
class InnerProducts(Protocol):
    """An identifier that scores an item by ONE inner product, so that a vector index can rank for it."""

    def item_vectors(self) -> Tensor:
        """The items' vectors [N, d], from the current tables."""

    def user_vectors(self, backbone: Backbone, memory: Memory) -> Tensor:
        """The users' vectors [B, d], from prompts that were read; an item's score is the product with its own."""


class Tuned(NamedTuple):
    """What an index was tuned for, and what came out.

    Args:
        k: how many items were asked for.
        recall: the share of the true best that was to be found.
        share: that was found, for other users.
    """

    k: int
    recall: float
    share: float


class VectorIndex:
    """Maximum inner product search over a table that may grow.

    ======== ===================================================================== ==========================
    exact    every vector is compared                                              nothing beside the table
    ivf      those of the lists that promise most (`structures.Lists`)             half of the table
    hnsw     those that a walk through a graph comes by (`structures.Graph`)       half of the table, and links
    ivf_pq   codes of the vectors of the lists that promise most                   a thirtieth of the table
    ======== ===================================================================== ==========================

    What a structure brings up are candidates: their products are computed from the table itself, so that scores are
    exact. How much effort a query needs and how many candidates differs from table to table: `tune` finds out. The
    table is not copied, and may be a map of a file.

    Args:
        vectors: [N, d] float.
        kind: see above.
        structure: one that is there already; None makes it.

    Attributes:
        effort: what a query is given, lists that are looked into for example; every vector is compared before `tune`.
        deep: candidates for every row that is asked for.
        tuned: what for, and with what success; None before.
    """

    def __init__(self, vectors: Tensor, kind: Kind = "exact", structure: Structure | None = None) -> None:
        self.vectors = vectors.detach()
        self.kind: Kind = kind
        self.structure = made(self.vectors, kind) if structure is None else structure
        if self.structure is not None and structure is None:
            self.structure.learn(self.vectors)
            self.structure.add(self.vectors)
        self.effort = 0 if self.structure is None else self.structure.most
        self.deep = DEEPEST
        self.tuned: Tuned | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def grow(self, vectors: Tensor) -> None:
        """Take a table [N + n, d] in place of the one that it begins with; what was learned stays."""
        new = vectors.detach()[len(self) :]
        self.vectors = vectors.detach()
        if self.structure is not None:
            self.structure.add(new)

    def search(self, queries: Tensor, k: int, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The rows with the largest products.

        Args:
            queries: [B, d] float.
            k: how many, at most as many as are allowed.
            allowed: bool [N], the rows that may be found; None allows all.

        Returns:
            rows long [B, k] and products float [B, k], falling; always k of them: where too few candidates come up,
            all vectors are compared. The fewer are allowed, the more effort is made.
        """
        count = len(self) if allowed is None else int(allowed.sum())
        allowed = None if count == len(self) else allowed
        effort = -(-self.effort * len(self) // max(1, count))
        if self.structure is None or effort >= self.structure.most:
            return self._exact(queries, k, allowed)
        found = self._found(queries, min(self.deep * k, count), effort, allowed)
        rows, products = self._compared(queries, found, k)
        short = products[:, -1] == -torch.inf
        if short.any():
            rows[short], products[short] = self._exact(queries[short], k, allowed)
        return rows, products

    def tune(self, queries: Tensor, k: int, recall: float) -> float:
        """Make as little effort as will do, a power of two of the least; then compare as few candidates as will do.

        Args:
            queries: [B, d], such as will be asked.
            k: how many rows will be asked for.
            recall: the share of the true best k that must be found.

        Returns:
            the share that is found.
        """
        if self.structure is None:
            return 1.0
        best = self._exact(queries, k, None)[0].to(queries.device)
        self.effort = self.structure.least
        while self.effort < self.structure.most:
            count = min(DEEPEST * k, len(self), self.structure.reach(self.effort))
            found = self._found(queries, count, self.effort, None)
            true = (found[:, :, None] == best[:, None, :]).any(2)
            self.deep = 1
            while (share := float(true[:, : self.deep * k].sum() / best.numel())) < recall and self.deep < DEEPEST:
                self.deep *= 2
            if share >= recall:
                return share
            self.effort = min(2 * self.effort, self.structure.most)
        return 1.0

    def recall(self, queries: Tensor, k: int) -> float:
        """The share of the true best k that is found for queries [B, d]; 1 for an exact index."""
        if self.structure is None:
            return 1.0
        best, found = self._exact(queries, k, None)[0], self.search(queries, k)[0]
        return float((found[:, :, None] == best[:, None, :]).any(1).float().mean())

    def _found(self, queries: Tensor, count: int, effort: int, allowed: Tensor | None) -> Tensor:
        """Candidates [B, count], -1 where there are fewer."""
        assert self.structure is not None
        return torch.from_numpy(self.structure.find(queries, count, effort, allowed)).to(queries.device)

    def _compared(self, queries: Tensor, found: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The best of candidates [B, n] by their exact products; those that are none come last."""
        rows, products = [], []
        found = found.sort(1).values  # of equal products, the first rows come first
        for some, asked in zip(*(each.split(self._users(found.shape[1])) for each in (found, queries)), strict=True):
            vectors = self.vectors[some.clamp(min=0).to(self.vectors.device)].to(queries.device)
            scores = torch.einsum("bnd,bd->bn", widen(vectors), widen(asked))
            best = first_best(scores.masked_fill(some < 0, -torch.inf), k)
            rows.append(some.gather(1, best.indices))
            products.append(best.values)
        return torch.cat(rows), torch.cat(products)

    def _users(self, candidates: int) -> int:
        return max(1, held_at_once(self.vectors.device) // max(1, candidates * self.vectors.shape[1]))

    def _exact(self, queries: Tensor, k: int, allowed: Tensor | None) -> tuple[Tensor, Tensor]:
        """The best of all that are allowed, a part of them at a time, on the device of the vectors."""
        table, device = self.vectors, self.vectors.device
        asked = queries.to(device)
        rows = None if allowed is None else allowed.to(device).nonzero()[:, 0]

        def scores(start: int, stop: int) -> Tensor:
            return inner_products(asked, table[start:stop] if rows is None else table[rows[start:stop]])

        count = len(table) if rows is None else len(rows)
        best = top_k_in_parts(
            scores, items_at_once(asked, count), torch.ones(1, count, dtype=torch.bool, device=device), k
        )
        found = best.items[0] if rows is None else rows[best.items[0]]
        return found.to(queries.device), best.scores[0].to(queries.device)


def made(vectors: Tensor, kind: Kind, radius: float | None = None) -> Structure | None:
    """The structure of an index for vectors [N, d], with nothing in it; None for an exact one.

    Args:
        vectors: what will be in it.
        kind: see `VectorIndex`.
        radius: see `genrec.decoding.structures.Structure`; None is the length of the longest.
    """
    if kind == "exact":
        return None
    if radius is None:
        radius = max(float(part.float().norm(dim=1).max()) for part in vectors.split(PART)) or 1.0
    width = vectors.shape[1]
    return Graph(width, radius) if kind == "hnsw" else Lists(width, radius, kind == "ivf_pq")


def marks(vectors: Tensor) -> np.ndarray:
    """A number for every vector, float32 [N], by which it is known again: its product with a direction drawn once.

    On another machine a table that is made again from the same parameters is the same but for rounding.
    """
    direction = torch.from_numpy(np.random.default_rng(0).standard_normal(vectors.shape[1], np.float32))
    parts = [part.float().cpu() @ direction for part in vectors.detach().split(PART)]
    return torch.cat(parts).numpy()

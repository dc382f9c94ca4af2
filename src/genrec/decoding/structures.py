"""What vectors are sorted into so that few of them need to be compared: lists, and a graph. By faiss.

All work on distances. The vectors with the largest products become the nearest ones by a coordinate more, which gives
all the same length (Bachrach et al., RecSys 2014): ``|q - x|^2 = |q|^2 + 1 - 2 q x`` where ``|x| = 1``. Without it a
list with a long centre draws everything to itself, and two to twenty times as many vectors have to be compared.

What is learned, and which vector went where, are arrays that can be kept (`Structure.arrays`); numbers of the vectors
themselves are not among them. faiss reads no file: arrays of somebody else's are looked at before it gets them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrec.errors import GenrecError

SAMPLE, ROUNDS = 40, 10
"""Vectors per centre that the centres are learned from, and rounds of k-means."""
LISTS = 2
"""Times the root of the number of vectors: so many lists."""
SPAN, BITS, BOOK = 8, 8, 2**14
"""Of a code: numbers that it stands for, and its bits; and vectors that codes are learned from."""
LINKS, CARE = 32, 100
"""Of a graph: links of a vector, and vectors that are looked at for them."""
FEWEST, MOST = 16, 4096
"""Vectors of a graph that are held while a query walks through it."""
PART = 2**15
"""Vectors that are handed over together."""


class Structure(ABC):
    """Vectors, sorted.

    Args:
        width: numbers of a vector.
        radius: the length that the longest has; one that comes later and is longer is taken for so long.

    Attributes:
        least, most: the least and the most effort that a query may be given.
    """

    least: int
    most: int
    index: Any

    def __init__(self, width: int, radius: float) -> None:
        self.width, self.radius = width, radius
        self.inner = -(-(width + 1) // SPAN) * SPAN
        """Numbers of a vector here: with one more, and as many zeros as codes need."""

    @abstractmethod
    def learn(self, vectors: Tensor) -> None:
        """Make the index, empty as yet, for vectors such as these [N, d]."""

    def reach(self, effort: int) -> int:
        """How many vectors a query of an effort brings up, at most."""
        return 2**31

    @abstractmethod
    def find(self, queries: Tensor, count: int, effort: int, allowed: Tensor | None) -> np.ndarray:
        """The rows of vectors near queries [B, d]: int64 [B, count], -1 where there are fewer.

        Args:
            queries: of any length.
            count: how many.
            effort: from `least` to `most`.
            allowed: bool [N], the rows that may be found; None allows all.
        """

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """What was learned, and where every vector went."""

    @abstractmethod
    def restore(self, arrays: Mapping[str, np.ndarray], vectors: Tensor) -> None:
        """Make the index of vectors [N, d] from its arrays.

        Raises:
            GenrecError: if they are not those of an index of so many vectors.
        """

    def add(self, vectors: Tensor) -> None:
        """Put vectors [n, d] behind those that are there."""
        for part in self.parts(vectors):
            self.index.add(part)

    def parts(self, vectors: Tensor) -> Iterator[np.ndarray]:
        """Vectors [n, d] of any precision, on any device, as they are here: float32 [some, inner], of length 1."""
        for part in vectors.detach().split(PART):
            yield self._inside(part)

    def _inside(self, vectors: Tensor) -> np.ndarray:
        inside = np.zeros((len(vectors), self.inner), np.float32)
        inside[:, : self.width] = vectors.float().cpu().numpy() / self.radius
        lengths = np.square(inside).sum(1)
        inside[:, self.width] = np.sqrt(np.maximum(1 - lengths, 0))
        return inside

    def _asked(self, queries: Tensor) -> np.ndarray:
        """Queries of length 1: the nearest are the same, and nothing is lost in rounding."""
        asked = np.zeros((len(queries), self.inner), np.float32)
        numbers = queries.detach().float().cpu().numpy()
        asked[:, : self.width] = numbers / np.maximum(np.linalg.norm(numbers, axis=1, keepdims=True), 1e-30)
        return asked

    def _sample(self, vectors: Tensor, count: int) -> np.ndarray:
        """Some of the vectors, drawn once; all, more than once each, where there are fewer."""
        drawn = np.random.default_rng(0).permutation(len(vectors))[:count]
        rows = torch.from_numpy(np.resize(drawn, count)).to(vectors.device)
        return np.concatenate([self._inside(vectors[part]) for part in rows.split(PART)])


class Lists(Structure):
    """An inverted file (Jegou et al., 2011): a query looks into the lists whose centres are nearest.

    Args:
        width: see `Structure`.
        radius: see `Structure`.
        codes: hold a vector as codes of a byte for eight numbers (product quantisation, same paper) instead of numbers
            of 16 bits.
    """

    least = 1

    def __init__(self, width: int, radius: float, codes: bool) -> None:
        super().__init__(width, radius)
        self.codes = codes

    def learn(self, vectors: Tensor) -> None:
        """See `Structure.learn`."""
        import faiss

        lists = max(1, min(len(vectors), round(LISTS * len(vectors) ** 0.5)))
        few = {"min_points_per_centroid": 1, "max_points_per_centroid": SAMPLE}  # small tables are no mistake
        means: Any = faiss.Kmeans(self.inner, lists, niter=ROUNDS, seed=1, **few)
        means.train(self._sample(vectors, min(len(vectors), SAMPLE * lists)))
        self._make(means.centroids)
        if self.codes:
            self.index.pq.cp.min_points_per_centroid = 1
            self.index.pq.cp.max_points_per_centroid = BOOK
            self.index.pq.cp.niter = ROUNDS
            self.index.train(self._sample(vectors, BOOK))

    def _make(self, centres: np.ndarray) -> None:
        import faiss

        self.most = len(centres)
        self._centres: Any = faiss.IndexFlatL2(self.inner)
        self._centres.add(centres)
        args = (self._centres, self.inner, self.most)
        if self.codes:
            # What is left of a vector without its centre would be told better, but wants a table for every list.
            self.index = faiss.IndexIVFPQ(*args, self.inner // SPAN, BITS, faiss.METRIC_L2)
            self.index.by_residual = False
            return
        short = faiss.ScalarQuantizer.QT_fp16
        self.index = faiss.IndexIVFScalarQuantizer(*args, short, faiss.METRIC_L2, False)
        self.index.is_trained = True

    def find(self, queries: Tensor, count: int, effort: int, allowed: Tensor | None) -> np.ndarray:
        """See `Structure.find`."""
        import faiss

        options: Any = {"sel": _selector(allowed), "nprobe": effort}
        return self.index.search(self._asked(queries), count, params=faiss.SearchParametersIVF(**options))[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Structure.arrays`: the centres, the list of every vector, and what codes stand for."""
        import faiss

        lists = np.empty(self.index.ntotal, np.int32)
        for number in range(self.most):
            size = self.index.invlists.list_size(number)
            lists[faiss.rev_swig_ptr(self.index.invlists.get_ids(number), size)] = number
        books = {"books": faiss.vector_to_array(self.index.pq.centroids)} if self.codes else {}
        return {"centres": self._centres.reconstruct_n(0, self.most), "lists": lists, **books}

    def restore(self, arrays: Mapping[str, np.ndarray], vectors: Tensor) -> None:
        """See `Structure.restore`."""
        import faiss

        centres = arrays["centres"]
        checked(centres, np.float32, (None, self.inner))
        checked(arrays["lists"], np.int32, (len(vectors),))
        between(arrays["lists"], 0, len(centres))
        self._make(centres)
        if self.codes:
            checked(arrays["books"], np.float32, (self.inner * 2**BITS,))
            faiss.copy_array_to_vector(arrays["books"], self.index.pq.centroids)
            self.index.is_trained = True
        lists = arrays["lists"].astype(np.int64)
        for start, part in zip(range(0, len(lists), PART), self.parts(vectors), strict=True):
            there = np.ascontiguousarray(lists[start : start + PART])
            self.index.add_core(len(part), faiss.swig_ptr(part), None, faiss.swig_ptr(there))


class Graph(Structure):
    """A graph of near vectors on several floors (HNSW; Malkov and Yashunin, 2020), whose numbers have 16 bits."""

    least, most = FEWEST, MOST

    def learn(self, vectors: Tensor) -> None:
        """See `Structure.learn`."""
        import faiss

        short: Any = faiss.ScalarQuantizer.QT_fp16
        self.index = faiss.IndexHNSWSQ(self.inner, short, LINKS, faiss.METRIC_L2)
        self.index.hnsw.efConstruction = CARE
        self.index.storage.is_trained = self.index.is_trained = True

    def reach(self, effort: int) -> int:
        """See `Structure.reach`."""
        return effort

    def find(self, queries: Tensor, count: int, effort: int, allowed: Tensor | None) -> np.ndarray:
        """See `Structure.find`; who asks for more than an effort brings up makes more of it."""
        import faiss

        options: Any = {"sel": _selector(allowed), "efSearch": max(effort, count)}
        walk: Any = faiss.SearchParametersHNSW(**options)  # type: ignore[attr-defined] # the stubs lack it
        return self.index.search(self._asked(queries), count, params=walk)[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """See `Structure.arrays`: the floors of every vector, and its links."""
        import faiss

        graph = self.index.hnsw
        found = {name: faiss.vector_to_array(getattr(graph, name)) for name in ("levels", "neighbors")}
        return {**found, "entry": np.array([graph.entry_point], np.int32)}

    def restore(self, arrays: Mapping[str, np.ndarray], vectors: Tensor) -> None:
        """See `Structure.restore`."""
        import faiss

        self.learn(vectors)
        graph, count = self.index.hnsw, len(vectors)
        levels, links, entry = (arrays[name] for name in ("levels", "neighbors", "entry"))
        # Where the links of every floor begin, for a vector of all floors.
        floors = faiss.vector_to_array(graph.cum_nneighbor_per_level).astype(np.int64)
        checked(levels, np.int32, (count,))
        between(levels, 1, len(floors))
        offsets = np.concatenate([[0], np.cumsum(floors[levels])])
        checked(links, np.int32, (int(offsets[-1]),))
        between(links, -1, count)
        checked(entry, np.int32, (1,))
        between(entry, 0, count)
        if levels[entry[0]] != levels.max():
            raise GenrecError("its entry is not on the top floor")
        # A link on a floor above the first leads to a vector that is on that floor too.
        for row in np.flatnonzero(levels > 1).tolist():
            for floor in range(1, int(levels[row])):
                there = links[offsets[row] + floors[floor] : offsets[row] + floors[floor + 1]]
                if (levels[there[there >= 0]] <= floor).any():
                    raise GenrecError("a link leads to a floor that is not there")
        for part in self.parts(vectors):
            self.index.storage.add(part)
        for name, values in (("levels", levels), ("neighbors", links), ("offsets", offsets.astype(np.uint64))):
            faiss.copy_array_to_vector(values, getattr(graph, name))
        graph.entry_point, graph.max_level = int(entry[0]), int(levels.max()) - 1
        self.index.ntotal = count


def checked(array: np.ndarray, kind: type, shape: tuple[int | None, ...]) -> None:
    """Whether an array is of a kind and shape; None is any size but 0.

    Raises:
        GenrecError: if not.
    """
    fits = array.ndim == len(shape) and all(
        have == want if want is not None else have > 0 for have, want in zip(array.shape, shape, strict=True)
    )
    if array.dtype != kind or not fits:
        raise GenrecError(f"an array is {array.dtype} {list(array.shape)}, which does not fit")


def between(array: np.ndarray, least: int, end: int) -> None:
    """Whether all numbers of an array are from the least on and below the end.

    Raises:
        GenrecError: if not.
    """
    if len(array) and not least <= int(array.min()) <= int(array.max()) < end:
        raise GenrecError(f"an array has numbers outside of {least} to {end - 1}")


def _selector(allowed: Tensor | None) -> Any:
    import faiss

    if allowed is None:
        return None
    bits: Any = np.packbits(allowed.cpu().numpy(), bitorder="little")
    return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg] # the stubs are those of the C++ class

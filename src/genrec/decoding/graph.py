"""Items whose score is a sum over slots, found by walking from item to similar item instead of scoring all.

Graph-constrained decoding of RPG (Hou et al., KDD 2025, arXiv 2506.05781, Section 3.3): items whose codes are alike
have scores that are alike, so the best ones are neighbours of good ones. What a walk costs does not grow with the
catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from genrec.decoding.candidates import Rows, candidates
from genrec.decoding.code_sums import top_codes
from genrec.decoding.grounding import first_best
from genrec.decoding.vector_index import VectorIndex
from genrec.devices import full_precision, widen
from genrec.errors import at_least
from genrec.types import Ranking

WIDTH = 512
"""Numbers that an item is compared by when its neighbours are looked for."""
COMPARED = 2**15
"""Items of a catalogue in which all are compared with all; in larger ones most of the neighbours are found."""
FOUND = 0.95
"""Of the neighbours there."""
TRIED = 256
"""Items whose neighbours are looked up to see what it takes."""
TOGETHER = 2**13
"""Items whose neighbours are looked up together."""


@dataclass(frozen=True)
class GraphSearch:
    """How items are walked.

    Args:
        edges: neighbours of an item.
        beams: items that the walk stands on at once.
        steps: how often it moves on to the neighbours.
    """

    edges: int = 50
    beams: int = 50
    steps: int = 3

    def __post_init__(self) -> None:
        at_least(1, "GraphSearch", edges=self.edges, beams=self.beams, steps=self.steps)


class ItemGraph:
    """Which items are most alike: the sum over slots of their codes' inner products is largest.

    Args:
        codes: [N, m] any kind of integer.
        tables: [m, size, d] float, what codes are compared by; of length 1 for cosines.
        search: how it is walked.
    """

    def __init__(self, codes: Tensor, tables: Tensor, search: GraphSearch) -> None:
        self.codes = codes
        self.search = search
        self._vectors = (_factors(widen(tables)),)

    @cached_property
    def neighbours(self) -> Tensor:
        """The rows of every item's neighbours, itself among them: int32 [N, edges]."""
        (factors,) = self._vectors
        count, edges = len(self.codes), min(self.search.edges, len(self.codes))
        rows = range(0, count, TOGETHER)
        slots = torch.arange(len(factors), device=factors.device)
        parts = [factors[slots, self.codes[start : start + TOGETHER].long()].flatten(1) for start in rows]
        vectors = torch.cat(parts)
        index = VectorIndex(vectors, "exact" if count <= COMPARED else "ivf")
        index.tune(vectors[:: -(-count // TRIED)], edges, FOUND)
        found = [index.search(part, edges)[0].int() for part in parts]
        return torch.cat(found)

    @cached_property
    def start(self) -> Tensor:
        """Where every walk begins: [beams] rows drawn at random, the same for all users and in all processes."""
        drawn = torch.randperm(len(self.codes), generator=torch.Generator().manual_seed(0))[: self.search.beams]
        return drawn.to(self.codes.device)

    def top_k(self, numbers: Tensor, allowed: Tensor, k: int) -> Ranking:
        """The k best allowed items that walks come by, in every candidate set; items of equal scores by their rows.

        A set that is smaller than what a walk looks at is ranked whole, and so is any for who walked past too few of
        it: there are always k items.

        Args:
            numbers: [B, m, size] float, see `genrec.decoding.code_sums.CodeSums.user_scores`.
            allowed: [C, N] bool, the candidate sets.
            k: how many.

        Returns:
            items and scores [C, B, k].

        Raises:
            GenrecError: if a candidate set holds fewer than k items.
        """
        numbers, known = widen(numbers), candidates(allowed)
        known.check(k)
        looked = self.search.beams * self.search.edges * self.search.steps
        few = [k > looked or len(rows) <= looked for rows in known.rows]
        walked = None if all(few) else self._walk(numbers)
        found = []
        for small, among, rows in zip(few, allowed, known.rows, strict=True):
            if small or walked is None:
                found.append(self._exact(numbers, rows, k))
            else:
                found.append(self._best(numbers, *walked, among, rows, k))
        return Ranking(torch.stack([each.items for each in found]), torch.stack([each.scores for each in found]))

    def _walk(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """All items that users' walks come by, rising, and their scores: [B, X] each, -inf for one that repeats."""
        beams = self.start.expand(len(numbers), -1)
        passed = [beams]
        for _ in range(self.search.steps):
            reached = self.neighbours[beams].flatten(1).long()
            passed.append(reached)
            items, scores = self._scored(numbers, reached)
            best = first_best(scores, min(self.search.beams, scores.shape[1])).indices
            beams = items.gather(1, best)
        return self._scored(numbers, torch.cat(passed, 1))

    def _scored(self, numbers: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Items [B, X] in the order of their rows, and their scores; -inf from the second time on."""
        items = items.sort(1).values
        slots = torch.arange(numbers.shape[1], device=items.device) * numbers.shape[2]
        places = (self.codes[items].long() + slots).flatten(1)
        scores = numbers.flatten(1).gather(1, places).view(*items.shape, -1).sum(2)
        again = torch.zeros_like(items, dtype=torch.bool)
        again[:, 1:] = items[:, 1:] == items[:, :-1]
        return items, scores.masked_fill(again, -torch.inf)

    def _best(self, numbers: Tensor, items: Tensor, scores: Tensor, allowed: Tensor, rows: Rows, k: int) -> Ranking:
        """The best of the items that were passed, [B, k]; all candidates are scored for who passed fewer than k."""
        best = first_best(scores.masked_fill(~allowed[items], -torch.inf), k)
        ranking = Ranking(items.gather(1, best.indices), best.values)
        short = best.values[:, -1] == -torch.inf
        if not short.any():
            return ranking
        rest = self._exact(numbers[short], rows, k)
        return Ranking(
            ranking.items.masked_scatter(short[:, None], rest.items),
            ranking.scores.masked_scatter(short[:, None], rest.scores),
        )

    def _exact(self, numbers: Tensor, rows: Rows, k: int) -> Ranking:
        """The k best of some items, all of which are scored, [B, k]."""
        codes, chosen = self.codes[rows.index()], rows.index()
        every = torch.ones(1, len(codes), dtype=torch.bool, device=codes.device)
        items, scores = (part[0] for part in top_codes(numbers, codes, every, k))
        return Ranking(items + chosen.start if isinstance(chosen, slice) else chosen[items].long(), scores)


def _factors(tables: Tensor) -> Tensor:
    """Vectors [m, size, r] whose inner products are those of [m, size, d], as nearly as `WIDTH` numbers can say."""
    width = min(*tables.shape[1:], max(1, WIDTH // len(tables)))
    with full_precision(tables.device):
        left, values, _ = torch.linalg.svd(tables, full_matrices=False)
    return left[..., :width] * values[:, None, :width]

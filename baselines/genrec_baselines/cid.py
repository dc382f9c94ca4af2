"""CID: an item becomes its path in a tree of clusters of items taken together, and its number in the last of them.

Hua et al., "How to Index Item IDs for Recommendation Foundation Models", SIGIR-AP 2023, arXiv 2305.06569 (collaborative
indexing). Reference implementation: github.com/agiresearch/OpenP5, `src_t5/utils/indexing.py`. Unlike it, items that
are not in training have a branch of their own, and an item has the same identifier in every run.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from genrec.assets import CooccurrenceClusters, ItemAssets
from genrec.assets.clusters import PATHS
from genrec.data import Catalog, Ragged
from genrec.errors import GenrecError
from genrec.identifiers import NewToken, Search, TokenSequence
from genrec_baselines.numbering import digits, width_for


class CID(TokenSequence):
    """Items of the same clusters begin with the same tokens: ``<CI3><CI17><CI5>`` and ``<CI3><CI17><CI8>``.

    One vocabulary of k new tokens, k being the size of the largest leaf, serves all levels and the numbers in the
    leaves. Cold items, and those that are added later, are numbered in a branch of their own, ``<CIcold>``: nothing is
    known of them, and as no target lies in that branch nothing is learned of it.

    Args:
        clusters: the tree; None takes the defaults of `CooccurrenceClusters`.
        vocabulary: "shared" by all levels, as in the authors' code, or "per_level", as in the paper's figures:
            ``<A3><B17><C5>``.
        last: the numbers in a leaf are "sequential", or drawn at "random" from 0 .. k - 1.
        cold: "branch", or "reference", as in the authors' code: cold items have a number and no path. Such an
            identifier, ``<CI3>``, is the beginning of others, and there may be no token left for an item that is added.
        search: see `TokenSequence`.
        separator: see `TokenSequence`.
    """

    def __init__(
        self,
        clusters: CooccurrenceClusters | None = None,
        vocabulary: Literal["shared", "per_level"] = "shared",
        last: Literal["sequential", "random"] = "sequential",
        cold: Literal["branch", "reference"] = "branch",
        search: Search | None = None,
        separator: str = " ",
    ) -> None:
        super().__init__(search, separator)
        self.clusters = clusters or CooccurrenceClusters()
        self.vocabulary = vocabulary
        self.last = last
        self.cold = cold

    def new_tokens(self, catalog: Catalog, assets: ItemAssets) -> list[NewToken]:
        """The k tokens, or k for every level, and the root of the cold branch."""
        paths = assets.built(self.clusters)[PATHS]
        cold = int((paths[:, 0] < 0).sum())
        self.size = self.clusters.leaf
        if self.cold == "reference" and self.last == "sequential":
            # As in the authors' code, the flat list of cold items takes as many tokens as it needs.
            self.size = max(self.size, cold)
        self.width = width_for(max(cold, 1), self.size)
        letters = ["CI"]
        if self.vocabulary == "per_level":
            letters = [chr(ord("A") + level) for level in range(paths.shape[1] + 1)]
        self.levels = len(letters)
        names = [f"<{letter}{number}>" for letter in letters for number in range(self.size)]
        if self.cold == "branch":
            names.append("<CIcold>")
        return [NewToken(name) for name in names]

    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        """See `TokenSequence.name_items`; items that are added later are cold.

        Raises:
            GenrecError: if cold items are named as in the authors' code, and there are not enough tokens.
        """
        paths = assets.built(self.clusters)[PATHS]
        paths = np.pad(paths, ((0, len(catalog) - len(paths)), (0, 0)), constant_values=-1)
        numbers = self._numbers(paths, np.random.default_rng(assets.seeded(self.clusters).seed)).tolist()
        rows = [self._name(path[path >= 0].tolist(), number) for path, number in zip(paths, numbers, strict=True)]
        return Ragged.from_lists(rows[len(known) :]).padded(np.arange(len(rows) - len(known)))

    def _numbers(self, paths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What tells the items of a leaf apart, int64 [N]; the cold items are a leaf like the others."""
        leaves, rows = np.unique(paths, axis=0, return_inverse=True)
        numbers = np.empty(len(paths), np.int64)
        for leaf, path in enumerate(leaves):
            members = np.flatnonzero(rows == leaf)
            branch = path[0] < 0 and self.cold == "branch"
            if len(members) > self.size and not branch:
                raise GenrecError(
                    f"CID with `cold: reference` has {self.size} tokens for {len(members)} cold items: take `cold: "
                    "branch`"
                )
            drawn = self.last == "random" and not branch
            numbers[members] = rng.permutation(self.size)[: len(members)] if drawn else np.arange(len(members))
        return numbers

    def _name(self, path: list[int], number: int) -> list[int]:
        """The token ids of an item with a path, or of a cold one, whose path is empty."""
        if path or self.cold == "reference":
            return [self._token(level, code) for level, code in enumerate([*path, number])]
        root = self.names.words + self.levels * self.size
        code = digits(number, self.size, self.width)
        return [root, *(self._token(level, digit) for level, digit in enumerate(code, 1))]

    def _token(self, level: int, number: int) -> int:
        return self.names.words + min(level, self.levels - 1) * self.size + number

"""CID: an item becomes its path in a tree of clusters of items taken together, and its number in the last of them.

Hua et al., "How to Index Item IDs for Recommendation Foundation Models", SIGIR-AP 2023, arXiv 2305.06569 (collaborative
indexing). Reference implementations: github.com/agiresearch/OpenP5, `src_t5/utils/indexing.py`, and the paper's own,
github.com/Wenyueh/LLM-RecSys-ID, `CF_index.py` (``per_node``). Unlike there, items that are not in training have a
branch of their own, and an item has the same identifier in every run.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from genrec.assets import CooccurrenceClusters, ItemAssets
from genrec.assets.clusters import PATHS
from genrec.assets.codes.groups import number_in_groups, row_ids
from genrec.data import Catalog
from genrec.errors import GenrecError
from genrec.identifiers import NewRows, NewToken, Search, TokenSequence
from genrec.types import PAD
from genrec_baselines.numbering import append, digits, width_for


class CID(TokenSequence):
    """Items of the same clusters begin with the same tokens: ``<CI3><CI17><CI5>`` and ``<CI3><CI17><CI8>``.

    One vocabulary of k new tokens, k being the size of the largest leaf, serves all levels and the numbers in the
    leaves. Cold items, and those that are added later, are numbered in a branch of their own, ``<CIcold>``: nothing is
    known of them, and as no target lies in that branch nothing is learned of it.

    Args:
        clusters: the tree; None takes the defaults of `CooccurrenceClusters`.
        vocabulary: "shared" by all levels, as in OpenP5, "per_level", as in the paper's figures: ``<A3><B17><C5>``,
            or "per_node", a token for every cluster of the tree and others for the numbers, as in the paper's code:
            ``<CI3><CI3-17><A5>``.
        last: the numbers in a leaf are "sequential", or drawn at "random" from 0 .. k - 1.
        cold: "branch", or "reference", as in both codes: cold items have a number and no path. Such an
            identifier, ``<CI3>``, is the beginning of others, and there may be no token left for an item that is added.
        search: see `TokenSequence`.
        separator: see `TokenSequence`.
        new_rows: see `TokenSequence`.
    """

    reads_text = False

    def __init__(
        self,
        clusters: CooccurrenceClusters | None = None,
        vocabulary: Literal["shared", "per_level", "per_node"] = "shared",
        last: Literal["sequential", "random"] = "sequential",
        cold: Literal["branch", "reference"] = "branch",
        search: Search | None = None,
        separator: str = " ",
        new_rows: NewRows = "matched",
    ) -> None:
        super().__init__(search, separator, new_rows=new_rows)
        self.clusters = clusters or CooccurrenceClusters()
        self.vocabulary = vocabulary
        self.last = last
        self.cold = cold

    def new_tokens(self, catalog: Catalog, assets: ItemAssets) -> list[NewToken]:
        """The k tokens, or k for every level, or one per cluster and k; and the root of the cold branch."""
        paths = assets.built(self.clusters)[PATHS]
        cold = int((paths[:, 0] < 0).sum())
        self.size = self.clusters.leaf
        if self.cold == "reference" and self.last == "sequential":
            # As in the authors' code, the flat list of cold items takes as many tokens as it needs.
            self.size = max(self.size, cold)
        self.width = int(width_for(np.array([cold]), self.size)[0])
        letters, names = ["CI"], list[str]()
        if self.vocabulary == "per_level":
            letters = [chr(ord("A") + level) for level in range(paths.shape[1] + 1)]
        elif self.vocabulary == "per_node":
            letters, names = ["A"], [f"<CI{'-'.join(map(str, node))}>" for node in tree_nodes(paths)[1]]
        self.levels, self.nodes = len(letters), len(names)
        names += [f"<{letter}{number}>" for letter in letters for number in range(self.size)]
        self.root = len(names)
        if self.cold == "branch":
            names.append("<CIcold>")
        return [NewToken(name) for name in names]

    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        """See `TokenSequence.name_items`; items that are added later are cold.

        Raises:
            GenrecError: if cold items are named as in the authors' code, and there are not enough tokens.
        """
        paths = assets.built(self.clusters)[PATHS]
        paths = np.pad(paths, ((0, len(catalog) - len(paths)), (0, 0)), constant_values=PAD)
        branch = (paths[:, 0] == PAD) & (self.cold == "branch")
        numbers = self._numbers(paths, branch, np.random.default_rng(assets.seeded(self.clusters).seed))
        new = slice(len(known), None)
        shown = tree_nodes(paths)[0] if self.vocabulary == "per_node" else paths
        shown, branch, numbers = shown[new], branch[new], numbers[new]
        # In the cold branch a number is written in digits, as that of a leaf is one, and the root stands before it.
        spelled = digits(numbers, self.size, np.where(branch, self.width, 1))
        spelled = np.where(spelled == PAD, PAD, spelled + self.nodes)
        codes = append(np.where(branch[:, None] & (np.arange(shown.shape[1]) == 0), 0, shown), spelled)
        levels = np.minimum(np.arange(codes.shape[1]), self.levels - 1) * self.size
        tokens = np.where(codes == PAD, PAD, codes + levels + self.names.words)
        tokens[branch, 0] = self.names.words + self.root
        return tokens

    def _numbers(self, paths: np.ndarray, branch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What tells the items of a leaf apart, int64 [N]; the cold items are a leaf like the others."""
        leaves = row_ids(paths)
        numbers = number_in_groups(leaves)
        if numbers[~branch].max(initial=0) >= self.size:
            raise GenrecError(
                f"CID with `cold: reference` has {self.size} tokens for {(paths[:, 0] == PAD).sum()} cold items: take "
                "`cold: branch`"
            )
        if self.last == "random" and not branch.all():
            # Those of the cold branch, which is the first leaf, are not drawn.
            first = int(branch.any())
            drawn = np.stack([rng.permutation(self.size) for _ in range(first, leaves.max() + 1)])
            numbers[~branch] = drawn[leaves[~branch] - first, numbers[~branch]]
        return numbers


def tree_nodes(paths: np.ndarray) -> tuple[np.ndarray, list[list[int]]]:
    """The clusters of a tree, each with a number of its own, level after level.

    Args:
        paths: int64 [N, depth], clusters among their siblings; `PAD` behind the last.

    Returns:
        the numbers of the clusters along every path, int64 [N, depth], `PAD` behind the last; and of every cluster the
        path that leads to it.
    """
    numbers, nodes = np.full_like(paths, PAD), list[list[int]]()
    for level in range(paths.shape[1]):
        there = paths[:, level] != PAD
        found, number = np.unique(paths[there, : level + 1], axis=0, return_inverse=True)
        numbers[there, level] = len(nodes) + number
        nodes += found.tolist()
    return numbers, nodes

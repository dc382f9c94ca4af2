"""A trie of item identifiers as a handful of arrays: the constraint of every decoding step is an index, no callback.

Identifiers are sorted, and nodes numbered level by level in that order, so a node's children stand side by side. Three
items ``(5, 7)``, ``(5, 9)`` and ``(6, 7)``::

    node         0     1  2    3  4  5
    token        -     5  6    7  9  7
    children     1:3   3:5 5:6 -  -  -      (`first[n] : first[n + 1]`)
    item         -     -  -    0  1  2
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genrec import devices
from genrec.decoding.candidates import Candidates, candidates
from genrec.errors import GenrecError
from genrec.types import PAD

ROOT = 0


class Trie:
    """All identifiers of a catalogue; any set of candidates is searched over the same trie.

    Args:
        paths: [N, L] long, every item's token ids, `PAD` behind those that are shorter than the longest. They are
            distinct, none is empty and none is the beginning of another: end them with a token of its own where
            lengths differ.

    Attributes:
        token: [nodes] long, the token that leads to a node; `PAD` at the root.
        parent: [nodes] long; the root is its own.
        first: [nodes + 1] long, where a node's children begin; they end where the next node's begin.
        item: [nodes] long, the item of a leaf; `PAD` at the other nodes.
        depth: [nodes] long, tokens from the root.
        levels: the distinct tokens [n] of every level, rising.
        nodes: [N, L] long, the nodes on the way to every item, its leaf repeated behind it.
        widest: for every depth, the most children that a node there has.
        ragged: whether identifiers differ in length.

    Raises:
        GenrecError: if two items have the same identifier, or one's is empty or the beginning of another's.
    """

    def __init__(self, paths: Tensor) -> None:
        table = paths.cpu().numpy()
        order = np.lexsort(table.T[::-1])
        table = table[order]
        real = table != PAD
        opens = real.copy()
        # A row opens a node where its path so far differs from that of the row before.
        opens[1:] &= (table[1:] != table[:-1]).cumsum(1) > 0
        _check(order, real, opens)
        sizes = opens.sum(0)
        numbers = opens.cumsum(0) + np.concatenate([[0], sizes.cumsum()[:-1]])
        rows, columns = opens.T.nonzero()[::-1]
        above = np.where(columns > 0, numbers[rows, columns - 1], ROOT)
        leaves = np.full(int(sizes.sum()) + 1, PAD)
        last = real.sum(1) - 1
        leaves[numbers[np.arange(len(order)), last]] = order
        device = paths.device

        def put(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        self.token = put(np.concatenate([[PAD], table[rows, columns]]))
        self.parent = put(np.concatenate([[ROOT], above]))
        children = np.bincount(above, minlength=len(leaves))
        deep = np.concatenate([[0], columns + 1])
        self.widest = [int(children[deep == depth].max()) for depth in range(table.shape[1])]
        self.ragged = bool((last != last[0]).any())
        self.first = put(1 + np.concatenate([[0], children.cumsum()]))
        self.item = put(leaves)
        self.depth = put(deep)
        self.levels = [put(np.unique(column[column != PAD])) for column in table.T]
        # Back in the order of the items.
        nodes = np.where(real, numbers, numbers[np.arange(len(order)), last][:, None])
        self.nodes = put(nodes[np.argsort(order)])
        self._alive: tuple[Candidates, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.token)

    def alive(self, allowed: Tensor) -> Tensor:
        """The nodes that lead to a candidate, [C, nodes] bool, of candidate sets [C, N] bool."""
        # One batch after the other asks for the same candidates.
        known = candidates(allowed)
        if self._alive is not None and self._alive[0] is known:
            return self._alive[1]
        alive = torch.zeros(len(allowed), len(self), dtype=torch.bool, device=allowed.device)
        for row, items in zip(alive, known.rows, strict=True):
            row[self.nodes[items.index()].flatten()] = True
            row[ROOT] = len(items) > 0
        self._alive = known, alive
        return alive

    def children(self, nodes: Tensor, depth: int | None = None) -> tuple[Tensor, Tensor]:
        """The children of nodes of any shape [...]: node numbers and which of them are real, [..., F] each.

        Args:
            nodes: [...] long.
            depth: where they all stand, leaves aside; None where they are from anywhere.
        """
        begin = self.first[nodes]
        count = self.first[nodes + 1] - begin
        if devices.exact_sizes(nodes.device):
            most = int(count.max())
        else:
            most = max(self.widest) if depth is None else self.widest[depth]
        offset = torch.arange(max(1, most), device=nodes.device)
        real = offset < count[..., None]
        return torch.where(real, begin[..., None] + offset, ROOT), real

    def path(self, nodes: Tensor) -> Tensor:
        """The tokens that lead to nodes of any shape [...]: [..., deepest of them], `PAD` behind shorter ones."""
        tokens = torch.full((*nodes.shape, int(self.depth[nodes].max())), PAD, device=nodes.device)
        while (nodes != ROOT).any():
            at = (self.depth[nodes] - 1).clamp(min=0)[..., None]
            kept = tokens.gather(-1, at)
            tokens.scatter_(-1, at, torch.where((nodes != ROOT)[..., None], self.token[nodes][..., None], kept))
            nodes = self.parent[nodes]
        return tokens


def _check(order: np.ndarray, real: np.ndarray, opens: np.ndarray) -> None:
    """Rows are sorted, so an identifier that is another's beginning stands right before one that it begins."""
    if not real[:, 0].all():
        raise GenrecError(f"item {order[(~real[:, 0]).argmax()]} has an empty identifier")
    same = ~opens.any(1)
    if same.any():
        row = same.argmax()
        raise GenrecError(f"items {order[row - 1]} and {order[row]} have the same identifier: every item needs its own")
    last = real.sum(1) - 1
    # The row before ends inside the part that both share.
    inside = ~opens[np.arange(1, len(order)), last[:-1]] & (last[1:] > last[:-1])
    if inside.any():
        row = inside.argmax()
        raise GenrecError(
            f"the identifier of item {order[row]} is the beginning of item {order[row + 1]}'s: end both with a token"
        )

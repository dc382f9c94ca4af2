"""The best items of all, not of a beam: branch and bound over the whole trie.

A token's log-probability is never positive, so the score of a node bounds those of all items below it. Nodes are
visited best first, and those that cannot beat the k-th best item so far are left out; what a beam found is a good start
for that bound. This is the global optimum that the beam gap of SETRec (Section 2, Figure 3) is measured against.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from genrec.decoding.beam import NOTHING, Writer, check_candidates
from genrec.decoding.trie import ROOT, Trie
from genrec.types import PAD, Ranking

BRANCHES = 32
"""Nodes that are visited together."""


class Exact(NamedTuple):
    """The best items, and the work it took.

    Args:
        ranking: items and scores [C, B, k].
        visited: [B] long, nodes of the trie that the language model looked at.
    """

    ranking: Ranking
    visited: Tensor


def exact_search(writer: Writer, trie: Trie, allowed: Tensor, k: int, start: Ranking | None = None) -> Exact:
    """The k best items of every user and candidate set.

    Args:
        writer: the language model after B prompts; its log-probabilities do not depend on the candidates.
        trie: the identifiers.
        allowed: [C, N] bool, the candidate sets.
        k: how many items.
        start: the result of a beam search, whose scores are a first bound.

    Raises:
        GenrecError: if a candidate set holds fewer than k items.
    """
    check_candidates(allowed, k)
    alive = trie.alive(allowed)
    users, device = writer.users, allowed.device
    score = torch.full((users, len(trie)), NOTHING, device=device)
    score[:, ROOT] = 0.0
    open_ = torch.zeros_like(score, dtype=torch.bool)
    open_[:, ROOT] = True
    visited = torch.zeros(users, dtype=torch.long, device=device)
    leaves = trie.item != PAD
    found = _Best(len(allowed), users, k, start, device)
    while True:
        # Within the rounding of two ways to compute the same score, a node is not given up.
        hopeful = (alive[:, None] & (score[None] > found.bound - 1e-4)).any(0) & open_
        if not hopeful.any():
            return Exact(found.ranking(), visited)
        wanted = torch.where(hopeful, score, NOTHING)
        nodes = wanted.topk(min(BRANCHES, int(hopeful.sum(1).max()))).indices
        chosen = hopeful.gather(1, nodes)
        open_.scatter_(1, nodes, open_.gather(1, nodes) & ~chosen)
        visited += chosen.sum(1)
        states = writer.write_paths(trie.path(nodes))
        children, real = trie.children(nodes)
        real = real & chosen[..., None]
        for depth in trie.depth[nodes[chosen]].unique().tolist():
            here = chosen & (trie.depth[nodes] == depth)
            added = writer.log_probs(states[here], trie.token[children[here]], real[here], trie.levels[depth])
            total = score.gather(1, nodes)[here][:, None] + added
            user = here.nonzero()[:, :1].expand_as(total)
            keep = real[here]
            score[user[keep], children[here][keep]] = total[keep]
            open_[user[keep], children[here][keep]] = ~leaves[children[here][keep]]
        found.update(score[:, leaves], trie.item[leaves], allowed)


class _Best:
    """The k best items so far, and what a node must beat."""

    def __init__(self, sets: int, users: int, k: int, start: Ranking | None, device: torch.device) -> None:
        self.k = k
        self.items = torch.full((sets, users, k), PAD, device=device)
        self.scores = torch.full((sets, users, k), NOTHING, device=device)
        # The start bounds, but its items count only once they are found again: no item may come twice.
        self.start = NOTHING if start is None else start.scores[..., -1:]

    @property
    def bound(self) -> Tensor:
        """[C, B, 1]."""
        return torch.maximum(self.scores[..., -1:], torch.as_tensor(self.start, device=self.scores.device))

    def update(self, scores: Tensor, items: Tensor, allowed: Tensor) -> None:
        """Take the best of the leaves' scores [B, leaves]."""
        for row, candidates in enumerate(allowed):
            top = scores.masked_fill(~candidates[items], NOTHING).topk(self.k)
            self.scores[row] = top.values
            self.items[row] = torch.where(top.values > NOTHING, items[top.indices], PAD)

    def ranking(self) -> Ranking:
        """Items and scores [C, B, k]."""
        return Ranking(self.items, self.scores)

"""The best items of all, not of a beam: branch and bound over the whole trie.

A token's log-probability is never positive, so the score of a node bounds those of all items below it. Nodes are
visited best first, and those that cannot beat the k-th best item so far are left out. What a beam found is visited
before all others, so that the bound is a good one from the start; its scores are computed anew, because in few bits two
ways to compute the same score differ by more than two items do. This is the global optimum that the beam gap of SETRec
(Section 2, Figure 3) is measured against.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from genrec.decoding.beam import NOTHING, Writer
from genrec.decoding.candidates import candidates
from genrec.decoding.grounding import items_at_once, top_k_in_parts
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
        start: the result of a beam search, for a good first bound.

    Raises:
        GenrecError: if a candidate set holds fewer than k items.
    """
    candidates(allowed).check(k)
    alive = trie.alive(allowed)
    leaves = trie.nodes[:, -1]
    users, device = writer.users, allowed.device
    score = torch.full((users, len(trie)), NOTHING, dtype=torch.float32, device=device)
    score[:, ROOT] = 0.0
    size = items_at_once(score[:, :1], len(leaves))
    open_ = torch.zeros_like(score, dtype=torch.bool)
    open_[:, ROOT] = True
    visited = torch.zeros(users, dtype=torch.long, device=device)
    begins = torch.zeros_like(open_)
    if start is not None:
        known = start.items.transpose(0, 1).flatten(1)
        # Never the nodes of an item that is none: the last one of the trie is a leaf, which nobody visits.
        nodes = torch.where(known[..., None] == PAD, len(trie) - 1, trie.nodes[known.clamp(min=0)])
        begins.scatter_(1, nodes.flatten(1), True)
    while True:
        found = top_k_in_parts(lambda start, stop: score[:, leaves[start:stop]], size, allowed, k)
        hopeful = begins & open_
        if not hopeful.any():
            hopeful = (alive[:, None] & (score[None] >= found.scores[..., -1:])).any(0) & open_
        if not hopeful.any():
            return Exact(found, visited)
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
            open_[user[keep], children[here][keep]] = trie.item[children[here][keep]] == PAD

"""Beam search under a trie: batched, over any number of candidate sets at once, from one read of the prompts.

The W beams of a user in each of C candidate sets are C*W columns of one sequence (`genrec.backbones.tree`): the prompt
exists once per user, and nothing is reordered. A beam that reaches a leaf is a finished item and leaves its slot.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from genrec.decoding.trie import ROOT, Trie
from genrec.errors import GenrecError
from genrec.types import PAD, Ranking

NOTHING = float("-inf")


class Writer(Protocol):
    """What searches ask of a language model that has read the prompts of B users."""

    users: int

    def begin(self) -> Tensor:
        """Write the token that opens every identifier; its state, [B, 1, D]."""

    def write(self, tokens: Tensor, parents: Tensor) -> Tensor:
        """Write tokens [B, n] after those [B, n] of the call before: their states, [B, n, D]."""

    def write_paths(self, paths: Tensor) -> Tensor:
        """The states [B, P, D] behind the last tokens of P paths [B, P, depth], `PAD` behind shorter ones."""

    def log_probs(self, states: Tensor, tokens: Tensor, real: Tensor, level: Tensor) -> Tensor:
        """Log-probabilities of next tokens.

        Args:
            states: [M, D], states to go on from.
            tokens: [M, F] long, the tokens in question.
            real: [M, F] bool, those that count.
            level: [n] long, all tokens that can stand at this place of an identifier.

        Returns:
            [M, F] float32; anything where ``real`` is False.
        """


def check_candidates(allowed: Tensor, k: int) -> None:
    """Refuse candidate sets [C, N] that hold fewer than k items.

    Raises:
        GenrecError: if one does.
    """
    fewest = int(allowed.sum(1).min())
    if k > fewest:
        raise GenrecError(
            f"cannot rank the best {k} of {fewest} candidate items: ask for a smaller k (`ks` of the model)"
        )


def beam_search(
    writer: Writer, trie: Trie, allowed: Tensor, k: int, width: int, length_penalty: float = 0.0
) -> Ranking:
    """The k best items that a beam of a given width finds, for every user and candidate set.

    With a width of at least the number of candidates it finds the true best.

    Args:
        writer: the language model after B prompts.
        trie: the identifiers.
        allowed: [C, N] bool, the candidate sets.
        k: how many items.
        width: beams per user and candidate set; at least k are kept.
        length_penalty: a; an item's score is the sum of its tokens' log-probabilities over ``length ** a``.

    Returns:
        items and scores [C, B, k], best first.

    Raises:
        GenrecError: if a candidate set holds fewer than k items.
    """
    check_candidates(allowed, k)
    width, alive, sets = max(width, k), trie.alive(allowed), len(allowed)
    states = writer.begin().expand(-1, sets, -1)
    users, device = writer.users, states.device
    of_set = torch.arange(sets, device=device)
    nodes = torch.full((users, sets, 1), ROOT, device=device)
    scores = torch.zeros(users, sets, 1, device=device)
    best = torch.full((users, sets, k), NOTHING, device=device)
    items = torch.full((users, sets, k), PAD, device=device)
    longest = len(trie.levels)
    # The root's state serves all candidate sets: they are one column of the tree.
    columns = torch.zeros(sets, dtype=torch.long, device=device)

    for depth, level in enumerate(trie.levels, 1):
        children, real = trie.children(nodes)
        real = real & alive[of_set[:, None, None], children]
        flat = children.flatten(0, 2)
        added = writer.log_probs(states.flatten(0, 1), trie.token[flat], real.flatten(0, 2), level)
        total = torch.where(real, scores[..., None] + added.view_as(children), NOTHING).flatten(2)
        top = total.topk(min(width, total.shape[2]), sorted=True)
        nodes, scores = children.flatten(2).gather(2, top.indices), top.values
        slots = top.indices // children.shape[3]

        leaf = (trie.item[nodes] != PAD) & (scores > NOTHING)
        finished = torch.where(leaf, scores / depth**length_penalty, NOTHING)
        merged = torch.cat([best, finished], 2).topk(k)
        items = torch.cat([items, trie.item[nodes]], 2).gather(2, merged.indices)
        best = merged.values

        scores = scores.masked_fill(leaf, NOTHING)
        live = scores.topk(max(1, int((scores > NOTHING).sum(2).max())))
        # What is still unfinished can only lose; the longest identifier would be punished least.
        if not (live.values[..., 0] / longest**length_penalty > best[..., -1]).any():
            break
        nodes, scores = nodes.gather(2, live.indices), live.values
        parents = columns[:, None] + slots.gather(2, live.indices)
        states = writer.write(trie.token[nodes].clamp(min=0).flatten(1), parents.flatten(1))
        columns = of_set * nodes.shape[2]
    return Ranking(items.transpose(0, 1), best.transpose(0, 1))

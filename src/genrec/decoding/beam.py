"""Beam search under a trie: batched, over any number of candidate sets at once, from one read of the prompts.

The beams of a user in all candidate sets are columns of one sequence (`backbones.attention.tree`): the prompt exists
once per user, and a beam that several candidate sets share is computed once. A beam that reaches a leaf is a finished
item and leaves its slot, and so does one that cannot beat the k best finished items any more.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from genrec import devices
from genrec.decoding.candidates import candidates
from genrec.decoding.grounding import first_best
from genrec.decoding.trie import ROOT, Trie
from genrec.types import PAD, Ranking

NOTHING = float("-inf")


class Writer(Protocol):
    """What searches ask of a language model that has read the prompts of B users.

    Attributes:
        users: B.
        independent: whether log-probabilities do not depend on which tokens count.
    """

    users: int
    independent: bool

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
    candidates(allowed).check(k)
    width, alive, longest = max(width, k), trie.alive(allowed), len(trie.levels)
    # A leaf stands in slots without a beam: nothing can follow it.
    nowhere = len(trie) - 1
    states = writer.begin()
    users, sets, device = writer.users, len(allowed), states.device
    columns = torch.full((users, 1), ROOT, device=device)
    place = torch.zeros(users, sets, 1, dtype=torch.long, device=device)
    scores = torch.zeros(users, sets, 1, dtype=torch.float32, device=device)
    best = torch.full((users, sets, k), NOTHING, dtype=torch.float32, device=device)
    items = torch.full((users, sets, k), PAD, device=device)

    for depth in range(1, longest + 1):
        children, real, added = _expand(writer, trie, alive, depth - 1, states, columns, place)
        total = torch.where(real, scores[..., None] + added, NOTHING).flatten(2)
        top = first_best(total, min(width, total.shape[2]))
        nodes, scores = children.flatten(2).gather(2, top.indices), top.values
        parents = place.gather(2, top.indices // children.shape[3])

        leaf = (trie.item[nodes] != PAD) & (scores > NOTHING)
        finished = torch.where(leaf, scores / depth**length_penalty, NOTHING)
        merged = first_best(torch.cat([best, finished], 2), k)
        items = torch.cat([items, trie.item[nodes]], 2).gather(2, merged.indices)
        best = merged.values

        # What is still unfinished can only lose; the longest identifier would be punished least.
        hopeful = ~leaf & (scores / longest**length_penalty > best[..., -1:])
        living = 0 if depth == longest else _living(hopeful, trie)
        if not living:
            break
        live = first_best(scores.masked_fill(~hopeful, NOTHING), living)
        scores = live.values
        nodes = torch.where(scores > NOTHING, nodes.gather(2, live.indices), nowhere)
        columns, above, place = _distinct(nodes, parents.gather(2, live.indices), nowhere)
        states = writer.write(trie.token[columns].clamp(min=0), above)
    # Of equal items the first of the catalogue comes first.
    items, order = items.sort(2)
    best, by_score = best.gather(2, order).sort(dim=2, descending=True, stable=True)
    return Ranking(items.gather(2, by_score).transpose(0, 1), best.transpose(0, 1))


def _expand(
    writer: Writer, trie: Trie, alive: Tensor, depth: int, states: Tensor, columns: Tensor, place: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What every slot can go on with: nodes, which of them lead to a candidate, log-probabilities, [B, C, W, F] each.

    Args:
        writer: the language model.
        trie: the identifiers.
        alive: [C, nodes] bool.
        depth: where the nodes in question stand.
        states: [B, n, D], one for every node in question.
        columns: [B, n] long, these nodes.
        place: [B, C, W] long, the column of every slot.
    """
    user = torch.arange(len(columns), device=columns.device)[:, None, None]
    children, real = trie.children(columns, depth)
    level = trie.levels[depth]
    if writer.independent:
        added = _log_probs(writer, states, trie.token[children], real, level)[user, place]
    children, real = children[user, place], real[user, place]
    real = real & alive[torch.arange(len(alive), device=alive.device)[:, None, None], children]
    if not writer.independent:
        added = _log_probs(writer, states[user, place], trie.token[children], real, level)
    return children, real, added


def _log_probs(writer: Writer, states: Tensor, tokens: Tensor, real: Tensor, level: Tensor) -> Tensor:
    """`Writer.log_probs` of any number of dimensions: states [..., D], tokens and real [..., F]."""
    if not devices.exact_sizes(real.device):
        flat = states.flatten(0, -2), tokens.flatten(0, -2), real.flatten(0, -2)
        return writer.log_probs(*flat, level).view_as(tokens)
    # Users have different numbers of nodes: there are places left over.
    wanted, added = real.any(-1), states.new_zeros(tokens.shape, dtype=torch.float32)
    added[wanted] = writer.log_probs(states[wanted], tokens[wanted], real[wanted], level)
    return added


def _living(hopeful: Tensor, trie: Trie) -> int:
    """How many slots go on, at most, of any user and candidate set; [B, C, W] bool says which."""
    if not trie.ragged and not devices.exact_sizes(hopeful.device):
        # All of them, most likely: before the last token no identifier is finished.
        return hopeful.shape[2]
    return int(hopeful.sum(2).max())


def _distinct(nodes: Tensor, parents: Tensor, nowhere: int) -> tuple[Tensor, Tensor, Tensor]:
    """The nodes of a user once each, whichever slots and candidate sets they are in: their states are the same.

    Args:
        nodes: [B, C, W] long.
        parents: [B, C, W] long, the columns of their parents; the same wherever a node stands.
        nowhere: the node that stands in slots without a beam.

    Returns:
        nodes [B, n] and parents [B, n], ``nowhere`` and 0 behind those of a user who has fewer, and the column
        [B, C, W] of every slot.
    """
    flat = nodes.flatten(1)
    found, order = flat.sort(1)
    opens = torch.ones_like(found)
    opens[:, 1:] = found[:, 1:] != found[:, :-1]
    number = opens.cumsum(1) - 1
    place = torch.empty_like(flat).scatter_(1, order, number)
    columns = torch.full_like(flat[:, : int(number[:, -1].max()) + 1], nowhere)
    above = torch.zeros_like(columns).scatter_(1, place, parents.flatten(1))
    return columns.scatter_(1, place, flat), above, place.view_as(nodes)

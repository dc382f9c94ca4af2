"""Beam search over free text: the most likely text after every prompt, whatever the items are called.

The beams of a user are columns of one sequence (`genrec.backbones.attention.tree`), as in the search under a trie.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from genrec.decoding.beam import NOTHING
from genrec.decoding.grounding import first_best
from genrec.types import PAD


class FreeWriter(Protocol):
    """What the search asks of a language model that has read the prompts of B users."""

    users: int

    def begin(self) -> Tensor:
        """Write the token that opens every text; its state, [B, 1, D]."""

    def write(self, tokens: Tensor, parents: Tensor) -> Tensor:
        """Write tokens [B, n] after those [B, n] of the call before: their states, [B, n, D]."""

    def likeliest(self, states: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The next tokens with the best log-probabilities, fewer than asked for if there are no more.

        Args:
            states: [M, D], states to go on from.
            count: n.

        Returns:
            log-probabilities float32 [M, n] and tokens [M, n].
        """


def free_search(writer: FreeWriter, end: int, beams: int, longest: int, length_penalty: float = 0.0) -> Tensor:
    """The best text that a beam of a given width finds, for every user.

    As transformers searches with ``early_stopping="never"``: of the 2W best continuations, those that close a text and
    are among the W best are finished, and the W best of the others go on. One beam is greedy decoding.

    Args:
        writer: the language model after B prompts.
        end: the word that closes a text.
        beams: W.
        longest: tokens after which a text counts as finished, closed or not.
        length_penalty: a; a text's score is the sum of its tokens' log-probabilities, the closing word's included, over
            ``length ** a``.

    Returns:
        [B, longest] long, the texts without the closing word, `PAD` behind shorter ones.
    """
    states = writer.begin()
    users, device = writer.users, states.device
    scores = torch.zeros(users, 1, dtype=torch.float32, device=device)
    texts = torch.full((users, 1, longest), PAD, device=device)
    best = _Best(texts[:, 0])
    for length in range(1, longest + 1):
        added, tokens = writer.likeliest(states.flatten(0, 1), 2 * beams if beams > 1 else 1)
        total = (scores[..., None] + added.unflatten(0, scores.shape)).flatten(1)
        top = first_best(total, min(2 * beams, total.shape[1]))
        parents, tokens = top.indices // added.shape[1], tokens.view(users, -1).gather(1, top.indices)
        texts = _rows(texts, parents)

        closes = tokens == end
        finished = torch.where(closes, top.values, NOTHING)[:, :beams]
        best.update(finished / length**length_penalty, texts)
        live = first_best(top.values.masked_fill(closes, NOTHING), min(beams, top.values.shape[1]))
        scores, tokens, texts = live.values, tokens.gather(1, live.indices), _rows(texts, live.indices)
        texts[..., length - 1] = tokens
        bound = scores / longest**length_penalty
        if length == longest:
            best.update(bound, texts)
        # What goes on can only lose; the longest text would be punished least.
        elif not (bound[:, 0] > best.scores).any():
            break
        else:
            states = writer.write(tokens, parents.gather(1, live.indices))
    return best.texts


class _Best:
    """The best text of every user so far, [B, longest]."""

    def __init__(self, texts: Tensor) -> None:
        self.texts = texts
        self.scores = torch.full((len(texts),), NOTHING, dtype=torch.float32, device=texts.device)

    def update(self, scores: Tensor, texts: Tensor) -> None:
        """Take the best of texts with scores [B, n], the first n of [B, ., longest], where it is better."""
        top = scores.max(1)
        better = top.values > self.scores
        self.texts = torch.where(better[:, None], _rows(texts, top.indices[:, None])[:, 0], self.texts)
        self.scores = torch.maximum(top.values, self.scores)


def _rows(texts: Tensor, index: Tensor) -> Tensor:
    """[B, n, longest] out of texts [B, ., longest], by their places [B, n]."""
    return texts.gather(1, index[..., None].expand(-1, -1, texts.shape[2]))

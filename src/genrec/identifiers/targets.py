"""What is to be written: how items' token sequences are learned, and texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genrec import devices
from genrec.backbones import Backbone, Context
from genrec.identifiers.names import ItemNames
from genrec.identifiers.negatives import NegativeSampler
from genrec.identifiers.rows import take_rows
from genrec.identifiers.vocabulary import Vocabulary
from genrec.losses import linear_cross_entropy, sampled_cross_entropy
from genrec.types import PAD, Tokens


def mean_loss(
    names: ItemNames,
    backbone: Backbone,
    context: Context,
    target: Tensor,
    temperature: float = 1.0,
    levels: Sequence[Tensor] | None = None,
    sampler: NegativeSampler | None = None,
) -> Tensor:
    """The mean over the targets of the cross-entropies of their tokens, in units of an average identifier.

    Where all identifiers have the same length it is the mean over tokens. Where they differ, a target counts as its
    identifier's probability says, in whatever company it is learned.

    Args:
        names: of all items.
        backbone: the language model.
        context: the prompts.
        target: [B] rows.
        temperature: logits are divided by it.
        levels: the tokens that can stand at every place of `ItemNames.paths`, rising; a token is then told from those
            of its place. None tells it from the whole vocabulary, and the closing word is learned behind every
            identifier.
        sampler: draws tokens of the vocabulary that a token is told from, instead of all; not with ``levels``.
    """
    closed = levels is None or names.lengths.ragged
    labels = names.cut(names.closed(names.codes[target]) if closed else names.codes[target])
    states, real = _states(names, backbone, context, labels)
    # The states are divided, not the logits: those are as many as the vocabulary has words.
    states = backbone.head_scale / temperature * states
    weight = real / ((names.lengths.mean + closed) * len(target))
    head = names.head(backbone)
    if levels is None:
        if names.lengths.ragged and devices.exact_sizes(labels.device):
            states, labels, weight = states[real], labels[real], weight[real]
        states, right, counts = states.flatten(0, -2), labels.flatten().clamp(min=0), weight.to(states).flatten()
        if sampler is None:
            return linear_cross_entropy(states, head, right, counts)
        return sampled_cross_entropy(states, head, right, counts, sampler.draw(right, labels.flatten() != PAD))
    parts = []
    for place, level in enumerate(levels[: labels.shape[1]]):
        right = torch.searchsorted(level, labels[:, place].contiguous()).clamp(max=len(level) - 1)
        part = take_rows(head, level)
        parts.append(linear_cross_entropy(states[:, place], part, right, weight[:, place].to(states)))
    return torch.stack(parts).sum()


def text_loss(words: Vocabulary, backbone: Backbone, context: Context, labels: Tensor) -> Tensor:
    """The mean over texts of the mean cross-entropy of their tokens: a long text counts as a short one does.

    Args:
        words: what a token is told from: the language model's words, and an identifier's own tokens where it has any.
        backbone: the language model.
        context: the prompts.
        labels: [R, A] long, the texts' tokens with the closing word, `PAD` behind shorter ones.
    """
    states, real = _states(words, backbone, context, labels)
    weight = real / (real.sum(1, keepdim=True) * len(labels))
    states, right = (backbone.head_scale * states).flatten(0, 1), labels.clamp(min=0).flatten()
    return linear_cross_entropy(states, words.head(backbone), right, weight.to(states).flatten())


def _states(words: Vocabulary, backbone: Backbone, context: Context, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The states that each token is written from, [R, A, D], and which tokens there are, [R, A]."""
    start = torch.full_like(labels[:, :1], backbone.start)
    ids = torch.cat([start, labels[:, :-1]], 1)
    tokens = Tokens.ordered(words.look_up(ids.clamp(min=0)))
    real = labels != PAD
    return backbone(context, Tokens(tokens.embeds, real, tokens.sets)), real

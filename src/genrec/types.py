"""The narrow waist: what a language model reads and writes, and what a recommender returns.

Letters, used on every tensor of the library:

====== =====================================  ====== =====================================
B      users of a batch                       N      items of the catalogue
T      history items                          L      length of an identifier
K      tokens per item                        W      width of a beam
S      tokens of a sequence                   V      size of the vocabulary
Q      query slots                            C      candidate sets
D      width of the backbone                  M      targets of a user
====== =====================================  ====== =====================================

An item id IS a row number ``0 .. N-1`` of the catalogue; padding is ``PAD`` (-1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

PAD = -1
"""Fills histories and target lists that are shorter than the longest of their batch."""

USER = "user"
"""The extra that every batch has: the users' rows."""

ORDERED = -1
"""The set number of a token that belongs to no set: its place in the sequence counts."""

SEEING = -2
"""Sets with numbers from here down have members that see each other; those from 0 on are blind to each other."""


@dataclass(frozen=True)
class Tokens:
    """A batch of token sequences, together with what decides their order.

    Positions and attention masks are derived from ``mask`` and ``sets`` (`backbones.attention.masks`), never given.

    Args:
        embeds: [B, S, D] float, the input embeddings.
        mask: [B, S] bool, True where a token is real.
        sets: [B, S] long; `ORDERED` for an ordinary token, otherwise the number of its set. The members of a set
            stand side by side and share one position. Those of sets 0, 1, 2 ... are blind to each other, those of sets
            -2, -3, -4 ... (from `SEEING` down) see each other.
    """

    embeds: Tensor
    mask: Tensor
    sets: Tensor

    def __post_init__(self) -> None:
        assert self.embeds.shape[:2] == self.mask.shape == self.sets.shape, "Tokens: shapes [B, S, D], [B, S], [B, S]"

    @staticmethod
    def ordered(embeds: Tensor) -> Tokens:
        """Real, ordered tokens from their embeddings [B, S, D]."""
        shape = embeds.shape[:2]
        return Tokens(
            embeds,
            torch.ones(shape, dtype=torch.bool, device=embeds.device),
            torch.full(shape, ORDERED, dtype=torch.long, device=embeds.device),
        )

    @staticmethod
    def one_set(embeds: Tensor) -> Tokens:
        """Real tokens of embeddings [B, S, D] that are all members of one unordered set, blind to each other."""
        tokens = Tokens.ordered(embeds)
        return Tokens(tokens.embeds, tokens.mask, torch.zeros_like(tokens.sets))

    def seeing(self) -> Tokens:
        """The same tokens, where the members of every set see each other."""
        return Tokens(self.embeds, self.mask, torch.where(self.sets > ORDERED, SEEING - self.sets, self.sets))

    @staticmethod
    def concat(*parts: Tokens) -> Tokens:
        """Sequences one after another. Set numbers must differ between the parts that hold sets."""
        return Tokens(
            torch.cat([part.embeds for part in parts], 1),
            torch.cat([part.mask for part in parts], 1),
            torch.cat([part.sets for part in parts], 1),
        )

    def compact(self) -> tuple[Tokens, Tensor]:
        """The same sequences without columns that nobody needs (`columns`); what padding is left stands before them.

        Nothing is moved where nothing can be left out: padding is inert wherever it stands.

        Returns:
            the sequences, and where each column went: [B, S + 1] long, the place in front of which the columns before
            it now end.
        """
        real, width, old = self.mask.sum(1), columns(self.mask), self.mask.shape[1]
        places = torch.cat([torch.zeros_like(real[:, None]), self.mask.cumsum(1)], 1) + (width - real)[:, None]
        if width == old:
            return self, torch.arange(width + 1, device=real.device).expand_as(places)
        order = self.mask.long().argsort(dim=1, stable=True)[:, old - width :]
        embeds = self.embeds.gather(1, order[..., None].expand(-1, -1, self.embeds.shape[2]))
        return Tokens(embeds, self.mask.gather(1, order), self.sets.gather(1, order)), places

    def padded(self, more: int) -> Tokens:
        """With so many columns of padding more, on the left."""
        if not more:
            return self
        return Tokens(
            F.pad(self.embeds, (0, 0, more, 0)), F.pad(self.mask, (more, 0)), F.pad(self.sets, (more, 0), value=ORDERED)
        )


def columns(mask: Tensor) -> int:
    """How many columns the real tokens [B, S] need, if all stand side by side.

    On a CPU as many as the longest sequence has. Elsewhere all there are: to ask for less, the host would have to wait
    for the device.
    """
    if mask.device.type != "cpu":
        return mask.shape[1]
    return int(mask.numpy().sum(1).max(initial=0))


@dataclass(frozen=True)
class Packed:
    """Many prompts that share their beginnings: a trunk per user, and branches that each see a part of it.

    Args:
        trunk: [B, S, D], the users' sequences.
        suffix: ordered tokens that follow: [1, U, D] in every branch, or [R, U, D] for each its own.
        users: [R] long, rising, the trunk of every branch.
        cuts: [R] long, how many columns of the trunk a branch sees, padding included.
        slots: no trunk has more branches.
    """

    trunk: Tokens
    suffix: Tokens
    users: Tensor
    cuts: Tensor
    slots: int


class Ranking(NamedTuple):
    """The best items of every user in every candidate set, best first.

    Args:
        items: [C, B, k] long, distinct and allowed rows of the catalogue.
        scores: [C, B, k] float, falling.
    """

    items: Tensor
    scores: Tensor


class Prefixes(NamedTuple):
    """Samples that are beginnings of a batch's sequences: histories with their target behind them.

    Args:
        users: [R] long, rising, the row of the batch that each is a beginning of.
        stops: [R] long, the columns that come before the item to be predicted, padding included.
    """

    users: Tensor
    stops: Tensor


class Extras(NamedTuple):
    """What a batch holds beside rows of items, under names (`genrec.data.Extra`).

    Args:
        users: [B, ...] by name, of every user.
        items: [B, T, ...] by name, of every item of the history; 0 at padding.
    """

    users: Mapping[str, Tensor] = MappingProxyType({})
    items: Mapping[str, Tensor] = MappingProxyType({})


class Wording(NamedTuple):
    """What stands around the items of a batch's prompts where they are of several tasks, and what is to be answered.

    The prompts that are answered with an item's identifier come first.

    Args:
        before: [B] texts, in front of the items of each row's history.
        after: [R] texts, behind them; R is B, or as many as there are prefixes.
        answers: [R] texts; None where the answer is the target's identifier.
        writes: whether there are tasks with texts as answers, in this batch or in another.
    """

    before: Sequence[str]
    after: Sequence[str]
    answers: Sequence[str | None]
    writes: bool


class Asked(NamedTuple):
    """Prompts of several tasks in token ids: those of a batch whose answers are all items, or all texts.

    Args:
        before: [B, P] long, the words in front of the items, `PAD` behind shorter ones.
        history: [B, T] long, the items, `PAD` on the left.
        target: [B] long.
        prefixes: see `Batch`.
        slots: no row of ``history`` has more prefixes.
        after: [R, U] long, the words behind the items, `PAD` behind fewer.
        answers: [R, A] long, the words to be written and the one that closes them; [R, 0] where answers are items.
        share: of the batch's targets. Those without any keep a process in step with others.
    """

    before: Tensor
    history: Tensor
    target: Tensor
    prefixes: Prefixes | None
    slots: int
    after: Tensor
    answers: Tensor
    share: float


class Batch(NamedTuple):
    """What the data module hands over: ids, and extras by name; no embeddings, no prompts.

    Args:
        users: [B] long, the users' rows.
        history: [B, T] long, the most recent items, oldest first, `PAD` on the left.
        target: [B] long, the next item; `PAD` for a user that has none.
        targets: [B, M] long, everything the user took in the split that is ranked, `PAD` on the right; [B, 0] in
            training.
        prefixes: the samples to be learned from, where a row holds many; None where every row is one.
        examples: in training, how many targets are to be learned; else, how many users are ranked. A batch without any
            keeps a process in step with others, and counts for nothing.
        step_examples: how many the optimiser's step has that this batch belongs to, over all its batches and processes.
        extras: what the data module was asked for beside.
        wording: the texts of prompts and answers, where there are several tasks; a row's history are then the items
            that its prompt names, and its user is `PAD` where it is of none.
        asked: what a recommender has made of them before they are sent to a device.
    """

    users: Tensor
    history: Tensor
    target: Tensor
    targets: Tensor
    prefixes: Prefixes | None = None
    examples: int = 0
    step_examples: int = 0
    extras: Extras = Extras()
    wording: Wording | None = None
    asked: tuple[Asked, ...] = ()

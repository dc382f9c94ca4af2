"""Prompts of several tasks: their texts become token ids on the host, and tokens around the items on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from genrec.backbones import Backbone, Context
from genrec.data import Task
from genrec.identifiers import ItemIdentifier
from genrec.identifiers.targets import text_loss
from genrec.identifiers.vocabulary import Vocabulary
from genrec.recommenders.packing import one_by_one
from genrec.types import PAD, Asked, Batch, Packed, Prefixes, Tokens, Wording


class Words:
    """Texts as token ids.

    Args:
        backbone: whose tokenizer writes them.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.tokenizer, self.end = backbone.tokenizer, backbone.end

    def __call__(self, texts: Sequence[str], closed: bool = False) -> Tensor:
        """The ids of texts [n], long [n, longest], `PAD` behind shorter ones.

        Args:
            texts: n of them; equal ones are looked at once.
            closed: put the closing word behind each.
        """
        distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        ids = self.tokenizer(list(distinct), add_special_tokens=False)["input_ids"]
        last = [self.end] if closed else []
        rows = [torch.tensor([*row, *last], dtype=torch.long) for row in ids]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
        return padded[[distinct[text] for text in texts]]


def said_in(tasks: Mapping[str, Task]) -> list[str]:
    """All that is said in tasks whatever the items are."""
    return [text for task in tasks.values() for text in task.words]


def words_for(tasks: Mapping[str, Task], identifier: ItemIdentifier, backbone: Backbone) -> Vocabulary | None:
    """What texts are written in; None where nobody asks for any, or the identifier has a vocabulary of its own."""
    if identifier.token_sequences() or all(task.names_item for task in tasks.values()):
        return None
    words = Vocabulary()
    words.setup(backbone)
    return words


def with_words(backbone: Backbone, batch: Batch) -> Batch:
    """A batch of several tasks, still on the host, with token ids in the place of texts.

    There is one `Asked` of those that are answered with items, and one of those that are with texts, if any task is.
    """
    wording = batch.wording
    if wording is None:
        return batch
    words = Words(backbone)
    total, rows = len(wording.answers), len(batch.history)
    of_items = sum(answer is None for answer in wording.answers)
    cut = of_items
    if batch.prefixes is not None:
        cut = int(batch.prefixes.users[of_items]) if of_items < total else rows
    found = [_part(batch, wording, words, slice(0, cut), slice(0, of_items), False)]
    if wording.writes:
        found.append(_part(batch, wording, words, slice(cut, rows), slice(of_items, total), True))
    return batch._replace(wording=None, asked=tuple(found))


def _part(batch: Batch, wording: Wording, words: Words, rows: slice, samples: slice, writes: bool) -> Asked:
    """The rows of a batch and their samples; where there are none, one that counts for nothing stands for them."""
    share = (samples.stop - samples.start) / len(wording.answers)
    if not share:
        rows = slice(0, 1)
        samples = slice(0, 1 if batch.prefixes is None else int((batch.prefixes.users == 0).sum()))
    prefixes, slots = None, 1
    if batch.prefixes is not None:
        users, stops = (part[samples] for part in batch.prefixes)
        prefixes = Prefixes(users - rows.start, stops)
        slots = int(np.bincount(prefixes.users.numpy()).max())
    texts = [answer or "" for answer in wording.answers[samples]]
    answers = words(texts, closed=True) if writes else torch.empty(len(texts), 0, dtype=torch.long)
    return Asked(
        words(wording.before[rows]),
        batch.history[rows],
        batch.target[rows],
        prefixes,
        slots,
        words(wording.after[samples]),
        answers,
        share,
    )


def losses_of_tasks(
    parts: Sequence[Asked],
    backbone: Backbone,
    identifier: ItemIdentifier,
    words: Vocabulary | None,
    losses_of: Callable[[Context, Tensor, Tensor], dict[str, Tensor]],
) -> dict[str, Tensor]:
    """The mean over all targets of a batch, and those over what is answered with ``items`` and with ``texts``.

    Args:
        parts: of the batch, `with_words`.
        backbone: the language model.
        identifier: of the items that stand in prompts.
        words: what texts are written in, where the identifier has no tokens of its own.
        losses_of: those of items that are asked for, given prompts and the items in them.
    """
    vocabulary, found, total = identifier.token_sequences() or words, dict[str, Tensor](), []
    for asked in parts:
        context = context_of(backbone, identifier.embed(asked.history), asked)
        if asked.answers.shape[1]:
            assert vocabulary is not None, "made by whoever is asked for texts"
            losses, kind = {"loss": text_loss(vocabulary, backbone, context, asked.answers)}, "texts"
        else:
            losses, kind = losses_of(context, *samples_of(asked)), "items"
        total.append(asked.share * losses["loss"])
        if asked.share:
            found.update({**losses, kind: losses["loss"]})
    return {**found, "loss": torch.stack(total).sum()}


def samples_of(asked: Asked) -> tuple[Tensor, Tensor]:
    """The items that stand in each prompt, [R, T], and those that are asked for, [R]."""
    if asked.prefixes is None:
        return asked.history, asked.target
    return one_by_one(asked, asked.prefixes)


def context_of(backbone: Backbone, items: Tokens, asked: Asked) -> Tokens | Packed:
    """The prompts around the tokens [B, T*K, D] of the items that stand in them."""
    before, after = (_tokens(backbone, ids) for ids in (asked.before, asked.after))
    if asked.prefixes is None:
        return Tokens.concat(before, items, after).compact()[0]
    trunk, places = Tokens.concat(before, items).compact()
    users, stops = asked.prefixes
    per_item = items.mask.shape[1] // asked.history.shape[1]
    cuts = places[users, asked.before.shape[1] + stops * per_item]
    return Packed(trunk, after, users, cuts, asked.slots)


def _tokens(backbone: Backbone, ids: Tensor) -> Tokens:
    words = Tokens.ordered(backbone.words(ids.clamp(min=0)))
    return Tokens(words.embeds, ids != PAD, words.sets)

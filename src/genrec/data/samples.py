"""What is predicted from what: every sample is a window of a user's list and the item or items after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.utils.data

from genrec.data.extras import Gather
from genrec.data.permutation import Permutation
from genrec.data.ragged import Lists, Ragged, before, ends
from genrec.data.samplers import Draw
from genrec.types import Batch, Extras, Prefixes


class Spans(NamedTuple):
    """Where samples lie in their users' lists, int64 [B] each.

    Args:
        stops: the position that the history ends before.
        widths: the length of the history.
        learned: how many targets each brings in training.
    """

    stops: np.ndarray
    widths: np.ndarray
    learned: np.ndarray


@dataclass(frozen=True, eq=False)
class Samples(torch.utils.data.Dataset[Batch]):
    """Samples, computed from their numbers; a draw picks a whole batch of them at once.

    Those of one user follow those of another. What is kept has the size of the users.

    Args:
        lists: the users' lists that the histories are windows of.
        starts: int64 [users + 1], how many samples come before each user's; the last entry is how many there are.
        spans: where a sample lies: it is given the lengths of users' lists, int64 [B], and which of each user's samples
            it is, from 0 on.
        targets: everything that counts as right, by user; None: it is the item behind the history, if there is one.
        packed: every sample stands for as many as it has targets, its beginnings.
        extras: makes what a batch holds beside items; None leaves it out.
        chosen: int64 [samples], the numbers of those that count; None is all of them.
    """

    lists: Lists
    starts: np.ndarray
    spans: Callable[[np.ndarray, np.ndarray], Spans]
    targets: Ragged | None = None
    packed: bool = False
    extras: Gather | None = None
    chosen: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self.starts[-1]) if self.chosen is None else len(self.chosen)

    def some(self, count: int | None, seed: int) -> Samples:
        """So many of the samples, drawn at random; None is all of them."""
        if count is None or count >= len(self):
            return self
        return replace(self, chosen=np.sort(Permutation(len(self), (seed,))(np.arange(count))))

    def sizes(self, rows: np.ndarray, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Of samples [B], int64 [B] each: the length of the history, and how many targets are learned."""
        _, spans = self._found(rows)
        return spans.widths, spans.learned

    def __getitem__(self, draw: Draw) -> Batch:
        """The batch of the samples that were drawn."""
        users, (stops, widths, learned) = self._found(draw.rows)
        places = before(stops, widths)
        history = self.lists.look(users, places)
        if self.targets is None:
            target, targets = self.lists.look(users, stops[:, None])[:, 0], np.empty((len(users), 0), np.int64)
        else:
            targets = self.targets.take(users).unique().padded(np.arange(len(users)))
            target = targets[:, 0].copy()
        prefixes = beginnings(history, learned) if self.packed else None
        rows, items, wanted, relevant = map(torch.from_numpy, (users, history, target, targets))
        extras = Extras({}, {}) if self.extras is None else self.extras(users, places)
        return Batch(rows, items, wanted, relevant, prefixes, draw.examples, draw.step_examples, extras)

    def _found(self, rows: np.ndarray) -> tuple[np.ndarray, Spans]:
        """The users of samples, int64 [B], and where in their lists they lie."""
        numbers = rows if self.chosen is None else self.chosen[rows]
        users = np.searchsorted(self.starts, numbers, side="right") - 1
        return users, self.spans(self.lists.sizes(users), numbers - self.starts[users])


def beginnings(history: np.ndarray, learned: np.ndarray) -> Prefixes:
    """The last positions of sequences, each as a sample of its own.

    Args:
        history: int64 [B, T]; the targets that stand behind it are the sequences' last positions.
        learned: int64 [B], how many positions of each sequence are predicted.
    """
    columns = np.arange(history.shape[1] + 1)
    users, stops = np.nonzero(columns > history.shape[1] - learned[:, None])
    return Prefixes(*(torch.from_numpy(np.ascontiguousarray(part)) for part in (users, stops)))


def prefixes(train: Ragged, max_history: int, empty_history: bool) -> Samples:
    """One sample per position of the last `max_history` items of every user, as the release of SETRec makes them.

    The history is what precedes the target WITHIN that window, so the window's first target has an empty history.

    Args:
        train: the training lists.
        max_history: the size of the window.
        empty_history: keep the first target of every window.
    """
    first = 0 if empty_history else 1
    counts = np.maximum(np.minimum(train.lengths, max_history) - first, 0)
    return Samples(train, ends(counts), partial(_prefixes, max_history, first))


def _prefixes(max_history: int, first: int, lengths: np.ndarray, which: np.ndarray) -> Spans:
    widths = which + first
    return Spans(np.maximum(lengths - max_history, 0) + widths, widths, np.ones_like(widths))


def windows(train: Ragged, max_history: int, empty_history: bool) -> Samples:
    """One sample per user, his last `max_history` items, from which all samples of `prefixes` can be made.

    Args:
        train: the training lists.
        max_history: the size of the window.
        empty_history: predict the first item of every window too.
    """
    least = 1 if empty_history else 2
    there = np.minimum(train.lengths, max_history) >= least
    return Samples(train, ends(there), partial(_windows, max_history, empty_history), packed=True)


def _windows(max_history: int, empty_history: bool, lengths: np.ndarray, which: np.ndarray) -> Spans:
    widths = np.minimum(lengths, max_history) - 1
    return Spans(lengths - 1, widths, widths + empty_history)


def last_positions(train: Ragged, max_history: int, empty_history: bool) -> Samples:
    """One sample per user: his last item, after the `max_history` before it.

    A causal model learns from it what follows each item of the history; who took a single item teaches it nothing.

    Args:
        train: the training lists.
        max_history: the longest history.
        empty_history: plays no role.
    """
    return Samples(train, ends(train.lengths > 1), partial(_last_positions, max_history))


def _last_positions(max_history: int, lengths: np.ndarray, which: np.ndarray) -> Spans:
    widths = np.minimum(lengths - 1, max_history)
    return Spans(lengths - 1, widths, widths)


def ranking(known: Lists, targets: Ragged, max_history: int) -> Samples:
    """One sample per user who has targets: the last `max_history` items he is known for, and his targets, once each."""
    return Samples(known, ends(targets.lengths > 0), partial(_known, max_history), targets)


def prediction(known: Lists, max_history: int) -> Samples:
    """One sample per user, without a target."""
    return Samples(known, np.arange(len(known) + 1), partial(_known, max_history))


def _known(max_history: int, lengths: np.ndarray, which: np.ndarray) -> Spans:
    return Spans(lengths, np.minimum(lengths, max_history), np.zeros_like(lengths))

"""What is predicted from what: every sample is a window of a user's list and the item or items after it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.utils.data

from genrec.data.extras import Gather
from genrec.data.ragged import Ragged
from genrec.data.samplers import Draw
from genrec.types import PAD, Batch, Extras, Prefixes


@dataclass(frozen=True, eq=False)
class Samples(torch.utils.data.Dataset[Batch]):
    """Samples as arrays; a draw picks a whole batch of them at once.

    Args:
        lists: the users' lists that the histories are windows of.
        users: int64 [samples], whose list.
        stops: int64 [samples], the position that the history ends before.
        widths: int64 [samples], the length of the history.
        target: int64 [samples], the next item, or `PAD`.
        learned: int64 [samples], how many targets each brings in training.
        targets: everything that counts as right, by user; None leaves it out.
        packed: every sample stands for as many as it has targets, its beginnings.
        extras: makes what a batch holds beside items; None leaves it out.
    """

    lists: Ragged
    users: np.ndarray
    stops: np.ndarray
    widths: np.ndarray
    target: np.ndarray
    learned: np.ndarray
    targets: Ragged | None = field(default=None)
    packed: bool = False
    extras: Gather | None = None

    def __len__(self) -> int:
        return len(self.users)

    def some(self, count: int | None, seed: int) -> Samples:
        """So many of the samples, drawn at random; None is all of them."""
        if count is None or count >= len(self):
            return self
        rows = np.sort(np.random.default_rng(seed).permutation(len(self))[:count])
        kept = {name: getattr(self, name)[rows] for name in ("users", "stops", "widths", "target", "learned")}
        return replace(self, **kept)

    def __getitem__(self, draw: Draw) -> Batch:
        """The batch of the samples that were drawn."""
        index = draw.rows
        users = self.users[index]
        history = self.lists.windows(users, self.stops[index], self.widths[index])
        targets = np.empty((len(users), 0), np.int64) if self.targets is None else self.targets.padded(users)
        prefixes = beginnings(history, self.learned[index]) if self.packed else None
        rows, items, target, relevant = map(torch.from_numpy, (users, history, self.target[index], targets))
        extras = Extras({}, {})
        if self.extras is not None:
            extras = self.extras(users, self.stops[index], self.widths[index], history.shape[1])
        return Batch(rows, items, target, relevant, prefixes, draw.examples, draw.step_examples, extras)


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
    sizes = np.minimum(train.lengths, max_history)
    users = np.repeat(np.arange(len(train)), sizes)
    widths = np.arange(len(users)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    stops = (train.lengths - sizes)[users] + widths
    return _training(train, users, stops, widths, np.ones_like(users), empty_history)


def windows(train: Ragged, max_history: int, empty_history: bool) -> Samples:
    """One sample per user, his last `max_history` items, from which all samples of `prefixes` can be made.

    Args:
        train: the training lists.
        max_history: the size of the window.
        empty_history: predict the first item of every window too.
    """
    users = np.flatnonzero(train.lengths)
    stops = train.lengths[users] - 1
    widths = np.minimum(stops, max_history - 1)
    return _training(train, users, stops, widths, widths + empty_history, empty_history, packed=True)


def last_positions(train: Ragged, max_history: int, empty_history: bool) -> Samples:
    """One sample per user: his last item, after the `max_history` before it.

    A causal model learns from it what follows each item of the history; who took a single item teaches it nothing.

    Args:
        train: the training lists.
        max_history: the longest history.
        empty_history: plays no role.
    """
    users = np.flatnonzero(train.lengths)
    stops = train.lengths[users] - 1
    widths = np.minimum(stops, max_history)
    return _training(train, users, stops, widths, widths, empty_history=False)


def _training(
    train: Ragged,
    users: np.ndarray,
    stops: np.ndarray,
    widths: np.ndarray,
    learned: np.ndarray,
    empty_history: bool,
    packed: bool = False,
) -> Samples:
    keep = widths >= (0 if empty_history else 1)
    users, stops, widths, learned = users[keep], stops[keep], widths[keep], learned[keep]
    return Samples(
        train, users, stops, widths, train.values[train.offsets[users] + stops].astype(np.int64), learned, packed=packed
    )


def ranking(known: Ragged, targets: Ragged, max_history: int) -> Samples:
    """One sample per user who has targets: the last `max_history` items he is known for, and his targets, once each."""
    users = np.flatnonzero(targets.lengths)
    targets = targets.unique()
    stops = known.lengths[users]
    first, nothing = targets.values[targets.offsets[users]].astype(np.int64), np.zeros_like(users)
    return Samples(known, users, stops, np.minimum(stops, max_history), first, nothing, targets)


def prediction(known: Ragged, max_history: int) -> Samples:
    """One sample per user, without a target."""
    users, stops = np.arange(len(known)), known.lengths
    unknown, nothing = np.full_like(users, PAD), np.zeros_like(users)
    return Samples(known, users, stops, np.minimum(stops, max_history), unknown, nothing)

"""What is predicted from what: every sample is a window of a user's list and the item or items after it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.utils.data

from genrec.data.ragged import Ragged
from genrec.types import PAD, Batch


@dataclass(frozen=True, eq=False)
class Samples(torch.utils.data.Dataset[Batch]):
    """Samples as arrays; an index array picks a whole batch of them at once.

    Args:
        lists: the users' lists that the histories are windows of.
        users: int64 [samples], whose list.
        stops: int64 [samples], the position that the history ends before.
        widths: int64 [samples], the length of the history.
        target: int64 [samples], the next item, or `PAD`.
        targets: everything that counts as right, by user; None leaves it out.
    """

    lists: Ragged
    users: np.ndarray
    stops: np.ndarray
    widths: np.ndarray
    target: np.ndarray
    targets: Ragged | None = field(default=None)

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, index: np.ndarray) -> Batch:
        """The batch of the samples `index`, int64 [B]."""
        users = self.users[index]
        history = self.lists.windows(users, self.stops[index], self.widths[index])
        targets = np.empty((len(users), 0), np.int64) if self.targets is None else self.targets.padded(users)
        return Batch(*map(torch.from_numpy, (users, history, self.target[index], targets)))


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
    return _training(train, users, stops, widths, empty_history)


def windows(train: Ragged, max_history: int, empty_history: bool) -> Samples:
    """One sample per user, his last `max_history` items, from which all samples of `prefixes` can be made.

    Args:
        train: the training lists.
        max_history: the size of the window.
        empty_history: keep windows of one item.
    """
    users = np.flatnonzero(train.lengths)
    stops = train.lengths[users] - 1
    return _training(train, users, stops, np.minimum(stops, max_history - 1), empty_history)


def last_positions(train: Ragged, max_history: int, empty_history: bool) -> Samples:
    """One sample per user: his last item, after the `max_history` before it. A causal model learns all positions."""
    users = np.flatnonzero(train.lengths)
    stops = train.lengths[users] - 1
    return _training(train, users, stops, np.minimum(stops, max_history), empty_history)


def _training(train: Ragged, users: np.ndarray, stops: np.ndarray, widths: np.ndarray, empty: bool) -> Samples:
    keep = widths >= (0 if empty else 1)
    users, stops, widths = users[keep], stops[keep], widths[keep]
    return Samples(train, users, stops, widths, train.values[train.offsets[users] + stops])


def ranking(known: Ragged, targets: Ragged, max_history: int) -> Samples:
    """One sample per user who has targets: the last `max_history` items he is known for, and his targets, once each."""
    users = np.flatnonzero(targets.lengths)
    targets = targets.unique()
    stops = known.lengths[users]
    return Samples(known, users, stops, np.minimum(stops, max_history), targets.values[targets.offsets[users]], targets)


def prediction(known: Ragged, max_history: int) -> Samples:
    """One sample per user, without a target."""
    users, stops = np.arange(len(known)), known.lengths
    return Samples(known, users, stops, np.minimum(stops, max_history), np.full(len(known), PAD))

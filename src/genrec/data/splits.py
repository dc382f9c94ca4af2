"""How timelines are cut into training, validation and test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import floor
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from genrec.data.catalog import KEY, Catalog
from genrec.data.dataset import Dataset
from genrec.data.interactions import ITEM, SPLIT, TIME, USER
from genrec.data.log import slices
from genrec.data.ragged import Ragged
from genrec.data.texts import Texts
from genrec.data.timelines import Timelines
from genrec.errors import GenrecError

NAMES = ("training", "validation", "test")
WORDS = {"training": 0, "train": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "test": 2, "testing": 2}
"""What files call the splits."""
SHUFFLE = 0
"""Draws the order of the catalogue's rows."""
KEY_OF_SPLIT = "data.source.init_args.split"
"""Where a config says which rule cuts."""
Notes = Mapping[str, Any]
NOTHING: Notes = MappingProxyType({})


class Split(ABC):
    """A rule that says of every interaction which split it belongs to.

    Users with fewer than `min_train` training interactions are left out, with everything they took.

    Attributes:
        remedy: what to set when it leaves a split empty.
    """

    min_train: int
    remedy: str
    hides_the_future = True
    """Whether all of training lies before all of validation, and that before all of test."""
    column: str | None = None
    """The column of a file that says it, if the interactions came already cut."""

    @abstractmethod
    def label(self, lines: Timelines) -> np.ndarray:
        """The split of every interaction, int8 [rows]: 0 for training, 1 for validation, 2 for test."""


@dataclass(frozen=True)
class QuantileSplit(Split):
    """Two moments, the same for all users, that leave given shares of the interactions between them.

    With n interactions in the order of time, validation begins at the time of number floor(0.8 n) and test at the time
    of number floor(0.9 n). Interactions of one moment are never torn apart, so the shares are kept only roughly. No
    model sees the future: every training interaction lies before every validation interaction.

    Args:
        ratios: the shares of training, validation and test; they sum to 1.
        min_train: users with fewer training interactions are left out.
    """

    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1)
    min_train: int = 2
    remedy = f"set {KEY_OF_SPLIT} to other ratios, or to LeaveOneOut if users come and go"

    def __post_init__(self) -> None:
        if min(self.ratios) <= 0 or abs(sum(self.ratios) - 1) > 1e-6:
            raise GenrecError(f"the ratios of a split are three positive numbers that sum to 1, not {self.ratios}")

    def label(self, lines: Timelines) -> np.ndarray:
        """Cut at the two quantiles."""
        if not len(lines):
            return np.empty(0, np.int8)
        train, validation, _ = self.ratios
        # 1e-9: floor(0.29 * 100) is 28 in floating point.
        places = [floor(share * len(lines) + 1e-9) for share in (train, train + validation)]
        return _cut(lines, *np.partition(lines.columns[TIME], places)[places])


@dataclass(frozen=True)
class DateSplit(Split):
    """Two given moments, the same for all users.

    Args:
        t1: validation begins here; a number as in the timestamps, or an ISO date such as ``2013-11-20`` (UTC) where
            timestamps are dates or seconds since 1970.
        t2: test begins here.
        min_train: users with fewer training interactions are left out.
    """

    t1: float | str
    t2: float | str
    min_train: int = 2
    remedy = f"set {KEY_OF_SPLIT} to other dates, in the unit of the timestamps, or to LeaveOneOut if users come and go"

    def label(self, lines: Timelines) -> np.ndarray:
        """Cut at the two moments."""
        t1, t2 = _moment(self.t1), _moment(self.t2)
        if t1 >= t2:
            raise GenrecError(f"a split by dates needs t1 before t2, not t1 = {self.t1} and t2 = {self.t2}")
        return _cut(lines, t1, t2)


@dataclass(frozen=True)
class LeaveOneOut(Split):
    """Every user's last interaction is for test, the one before for validation.

    Its weakness: the users' last interactions lie at different times, so the training set holds what other users did
    AFTER a test interaction. A model can learn from that future which items will be popular, items that are new at
    the time of the test hardly exist, and results look better than they would in use. Prefer a split by time.

    Args:
        min_train: users with fewer training interactions are left out.
    """

    min_train: int = 2
    remedy = f"users need min_train + 2 interactions, so set {KEY_OF_SPLIT} to a smaller min_train"
    hides_the_future = False

    def label(self, lines: Timelines) -> np.ndarray:
        """Number every user's interactions from the end."""
        last = np.cumsum(lines.counts(USER)) - 1
        labels = np.empty(len(lines), np.int8)
        for rows in slices(len(lines)):
            from_end = last[lines.columns[USER][rows]] - np.arange(rows.start, rows.stop)
            labels[rows] = np.maximum(2 - from_end, 0)
        return labels


@dataclass(frozen=True)
class GivenSplit(Split):
    """The interactions come already cut: a column says which split each belongs to.

    Args:
        column: its name. It holds train or training, valid, validation, val or dev, and test or testing.
        min_train: users with fewer training interactions are left out.
    """

    column: str = SPLIT
    min_train: int = 1
    remedy = "say in that column what is for training, validation and test, for users who have something in training"
    hides_the_future = False

    def label(self, lines: Timelines) -> np.ndarray:
        """What the column said.

        Raises:
            GenrecError: if there was none.
        """
        if SPLIT not in lines.columns:
            raise GenrecError("nothing says how the interactions are cut: set split to LeaveOneOut, or read a `Table`")
        return lines.columns[SPLIT]


def labelled(words: pl.Series) -> pl.Series:
    """The numbers of splits, int8; null for what is none of `WORDS`."""
    words = words.cast(pl.String).str.strip_chars().str.to_lowercase()
    return words.replace_strict(WORDS, default=None, return_dtype=pl.Int8)


def oddities(frame: pl.DataFrame) -> dict[str, int]:
    """What others may have meant with their split, or not, and how often.

    Args:
        frame: all interactions of some users, as they were read.
    """
    label, time = pl.col(SPLIT), pl.col(TIME)
    several = frame.group_by(USER, ITEM, TIME).agg(label.n_unique()).filter(label > 1)
    validation, test = (time.filter(label == number).min().over(USER) for number in (1, 2))
    late = ((label == 0) & (time > pl.min_horizontal(validation, test))) | ((label == 1) & (time > test))
    return {
        "interactions that stand in several splits": len(several),
        "interactions later than what the same user has in a later split": int(frame.select(late.sum()).item()),
    }


def split(name: str, lines: Timelines, items: pl.DataFrame | None, rule: Split, notes: Notes = NOTHING) -> Dataset:
    """Cut interactions into a data set.

    Items that no remaining user took are left out of the catalogue. Its rows are in an order that is drawn once and for
    all: rows in the order of first appearance would tell a model, by their numbers alone, what came with what.

    Args:
        name: how the data set is called.
        lines: interactions without repetitions; they are used up.
        items: what is known about the items, columns as in `Catalog`; None: nothing but their keys.
        rule: where the cuts are.
        notes: what is known about the making so far (`Dataset.notes`); dates and users left out are added.

    Raises:
        GenrecError: if a split is empty.
    """
    labels = rule.label(lines)
    taught = lines.counts(USER, labels == 0) >= rule.min_train
    all_users = int((lines.counts(USER) > 0).sum())
    lines, labels = _of_users(lines, labels, taught)
    users = lines.counts(USER) > 0
    for number, part in enumerate(NAMES):
        if not (labels == number).any():
            cause = _cause(int(users.sum()), part, rule)
            raise GenrecError(f"{name}: the {part} split is empty: {cause}; {rule.remedy}")
    items_taken, row_of = _numbered(lines)
    number_of = np.cumsum(users) - 1
    lists, spans = [], []
    for number in range(len(NAMES)):
        chosen = labels == number
        taken, times = lines.columns[ITEM][chosen], lines.columns[TIME][chosen]
        lengths = np.bincount(number_of[lines.columns[USER][chosen]], minlength=int(users.sum()))
        lists.append(Ragged(row_of[taken], np.concatenate([[0], np.cumsum(lengths)])))
        spans.append((float(times.min()), float(times.max())))
    known = pl.DataFrame({KEY: items_taken})
    catalog = Catalog(known if items is None else known.join(items, on=KEY, how="left", maintain_order="left"))
    if rule.hides_the_future and not spans[0][1] < spans[1][0] <= spans[1][1] < spans[2][0]:
        raise GenrecError(f"{name}: the splits overlap in time ({spans}), so training would see the future")
    left_out = {f"fewer than {rule.min_train} training interactions": all_users - int(users.sum())}
    notes = {
        **notes,
        "times": dict(zip(NAMES, spans, strict=True)),
        "users_left_out": {**notes.get("users_left_out", {}), **left_out},
    }
    train, validation, test = lists
    keys = Texts(lines.users.filter(pl.Series(users)))
    return Dataset(name, catalog, keys, train, validation, test, notes=notes)


def _of_users(lines: Timelines, labels: np.ndarray, users: np.ndarray) -> tuple[Timelines, np.ndarray]:
    """What some users took, bool [users], and its labels."""
    kept = np.empty(len(lines), bool)
    for rows in slices(len(lines)):
        kept[rows] = users[lines.columns[USER][rows]]
    labels = labels.copy() if labels is lines.columns.get(SPLIT) else labels
    (labels,) = lines.keep(kept, labels)
    return lines, labels


def _numbered(lines: Timelines) -> tuple[pl.Series, np.ndarray]:
    """The keys of the items that were taken, by row of the catalogue, and the row of every item, int32."""
    first = lines.first_rows()
    taken = np.argsort(first, kind="stable")[: int((lines.counts(ITEM) > 0).sum())]
    shuffled = taken[np.random.default_rng(SHUFFLE).permutation(len(taken))]
    row_of = np.empty(len(lines.items), np.int32)
    row_of[shuffled] = np.arange(len(shuffled))
    return lines.items.gather(shuffled), row_of


def _cause(users: int, part: str, rule: Split) -> str:
    """Why the users that were kept have nothing in a split."""
    if not users:
        return f"no user has the {rule.min_train} training interactions that he needs (min_train)"
    kept = f"{users} users with at least {rule.min_train} training interactions"
    return f"none of the {kept} took anything in the {part} period"


def _cut(lines: Timelines, t1: float, t2: float) -> np.ndarray:
    labels = np.empty(len(lines), np.int8)
    for rows in slices(len(lines)):
        time = lines.columns[TIME][rows]
        labels[rows] = (time >= t1).astype(np.int8) + (time >= t2)
    return labels


def _moment(value: float | str) -> float:
    """A timestamp; an ISO date becomes seconds since 1970."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise GenrecError(f"`{value}` is no date of a split: write 2013-11-20, or a number") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

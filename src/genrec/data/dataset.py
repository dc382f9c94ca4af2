"""A data set: a catalogue, and what the same users took in training, validation and test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np

from genrec.data.catalog import Catalog
from genrec.data.log import histogram
from genrec.data.ragged import Ragged
from genrec.data.texts import Texts
from genrec.errors import GenrecError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Timelines of users over a catalogue, cut into three.

    Args:
        name: how reports call the data set.
        catalog: N items; an item id is its row.
        users: the users' keys; a user id is his row. Any list of them becomes `Texts`.
        train: what every user took first, in the order of time.
        validation: what he took then; may be empty for a user.
        test: what he took last; may be empty for a user.
        cf: float32 [N, d], collaborative embeddings that came with the data.
        foreign: the last so many items belong to other data sets (`genrec.data.Foreign`): they stand in histories, and
            are no candidates.
        elsewhere: what the users took of other data sets in training, validation and test, where that is read.
        notes: what its making found out and the lists do not show, as json: dates, who was left out, bad lines.

    Raises:
        GenrecError: if a split is empty or has other users, an item is outside the catalogue, or the embeddings do
            not fit it.
    """

    name: str
    catalog: Catalog
    users: Texts
    train: Ragged
    validation: Ragged
    test: Ragged
    cf: np.ndarray | None = None
    foreign: int = 0
    elsewhere: tuple[Ragged, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name)
        object.__setattr__(self, "users", Texts(self.users))
        for split, lists in self._splits():
            self._check(split, lists)
        if self.cf is not None and (self.cf.ndim != 2 or len(self.cf) != len(self.catalog)):
            raise GenrecError(
                f"{self.name}: the collaborative embeddings have shape {list(self.cf.shape)}, but the catalogue has "
                f"{len(self.catalog)} items: there must be one row per item"
            )

    def _splits(self) -> Iterator[tuple[str, Ragged]]:
        return iter((("training", self.train), ("validation", self.validation), ("test", self.test)))

    def _check(self, split: str, lists: Ragged) -> None:
        if len(lists) != len(self.users):
            raise GenrecError(f"{self.name}: the {split} split has {len(lists)} users, not {len(self.users)}")
        if not len(lists.values):
            raise GenrecError(f"{self.name}: the {split} split is empty: all three splits need interactions")
        outside = (lists.values < 0) | (lists.values >= len(self.catalog))
        if outside.any():
            first = outside.argmax()
            raise GenrecError(
                f"{self.name}: item {lists.values[first]} in the {split} list of user {self.users[lists.rows[first]]} "
                f"is not in the catalogue, whose items are 0 to {len(self.catalog) - 1}"
            )

    @cached_property
    def frequency(self) -> np.ndarray:
        """int64 [N], how often each item occurs in the training split."""
        return histogram(self.train.values, len(self.catalog))

    @property
    def candidates(self) -> np.ndarray:
        """Bool [N], True for an item that may be recommended; the others are foreign."""
        return np.arange(len(self.catalog)) < len(self.catalog) - self.foreign

    def targets(self, split: Literal["validation", "test"]) -> Ragged:
        """What is to be found of the users who are ranked; of all, unless it is read what some took elsewhere."""
        lists: Ragged = getattr(self, split)
        if not self.elsewhere:
            return lists
        rows = lists.rows
        ranked = self.elsewhere[0].lengths[rows] > 0
        return Ragged.from_rows(rows[ranked], lists.values[ranked], len(lists))

    @property
    def warm(self) -> np.ndarray:
        """Bool [N], True for an item of the training split; the others are cold."""
        return self.frequency > 0


class Anonymous(Dataset):
    """A data set whose users are left out: items, and how often each was taken in training.

    Args:
        name: of the data set.
        catalog: N items.
        counts: int64 [N].
    """

    def __init__(self, name: str, catalog: Catalog, counts: np.ndarray) -> None:
        nobody = Ragged.from_lists([])
        super().__init__(name, catalog, Texts(), nobody, nobody, nobody)
        self.__dict__["frequency"] = counts

    def _splits(self) -> Any:
        return iter(())


def check_name(name: str) -> None:
    """Files are called after data sets, so a name must not lead out of a folder.

    Raises:
        GenrecError: if it does.
    """
    if not name.strip(". ") or "\0" in name or PurePath(name).name != name or "\\" in name:
        raise GenrecError(f"a data set cannot be called `{name}`: files get its name, so give one without slashes")


class Source(ABC):
    """Where a data set comes from: a recipe with a few parameters."""

    @abstractmethod
    def load(self, root: str | Path) -> Dataset:
        """Read or make the data set.

        Args:
            root: the folder that the files of the recipe are relative to.

        Raises:
            GenrecError: if something is missing or broken.
        """


class InMemory(Source):
    """A data set that is there already, for notebooks and tests."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def load(self, root: str | Path) -> Dataset:
        """The data set itself."""
        return self.dataset

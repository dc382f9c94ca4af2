"""Items and users of other data sets, in use with a recommender that was trained on one: histories of any domain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from genrec.data.catalog import KEY
from genrec.data.dataset import Dataset, Source
from genrec.data.ragged import Joined, Lists, Ragged, ends
from genrec.data.texts import Texts
from genrec.errors import GenrecError


class Other(NamedTuple):
    """Another data set, and the row that its first item has behind those of the own one."""

    dataset: Dataset
    first: int

    def parts(self) -> Iterator[Ragged]:
        """Its training, validation and test lists, with these rows."""
        for part in (self.dataset.train, self.dataset.validation, self.dataset.test):
            yield Ragged(part.values.astype(np.int64) + self.first, part.offsets)


@dataclass(frozen=True)
class Foreign:
    """Other data sets, whose items stand in histories and are never recommended.

    Their items come behind those of the data set, under the keys ``<name>:<key>``, and are known by their text alone.

    Args:
        sources: where they come from.
        users: "shared" ranks the users of the data set that are, by their keys, users of another one too; "theirs"
            recommends to the users of the others (``genrec predict``).
        history: of shared users: what they took in the other data sets, then what they took in this one ("mixed"),
            or the former ("foreign") or the latter ("own") alone.
        splits: what of the other data sets is read of shared users: the parts that are read of this one ("same"), or
            the training lists alone ("training"), where the others were cut at later days.

    Raises:
        GenrecError: if there is no source.
    """

    sources: Sequence[Source]
    users: Literal["shared", "theirs"] = "shared"
    history: Literal["mixed", "foreign", "own"] = "mixed"
    splits: Literal["same", "training"] = "same"

    def __post_init__(self) -> None:
        if not self.sources:
            raise GenrecError("`data.foreign.sources` is empty: name a data set whose items are to be read")

    def join(self, dataset: Dataset, root: str | Path) -> Dataset:
        """The data set with the items of the others behind its own, and with the users that are asked for.

        Args:
            dataset: what is recommended.
            root: the folder that the sources' files are relative to.

        Raises:
            GenrecError: if another one has no text, no user is shared, or keys of users do not tell who is who.
        """
        catalog, others = dataset.catalog, []
        for source in self.sources:
            other = source.load(root)
            others.append(Other(other, len(catalog)))
            catalog = catalog.extend(_renamed(other))
        joined = replace(dataset, catalog=catalog, cf=None, foreign=len(catalog) - len(dataset.catalog))
        return _theirs(joined, others) if self.users == "theirs" else _shared(joined, others)

    def histories(self, dataset: Dataset, *own: Ragged) -> Lists:
        """What users took before.

        Args:
            dataset: what `join` made.
            own: the parts of it that are read: training, then validation, then test.
        """
        if self.users == "theirs":
            return Joined(own)
        elsewhere = dataset.elsewhere[: len(own) if self.splits == "same" else 1]
        return Joined({"mixed": (*elsewhere, *own), "foreign": elsewhere, "own": own}[self.history])


def _renamed(other: Dataset) -> pl.DataFrame:
    """The items of a data set under keys that no other one has.

    Raises:
        GenrecError: if they have no text, which is all that could be known of them.
    """
    other.catalog.text_lengths()
    return other.catalog.items.with_columns((pl.lit(f"{other.name}:") + pl.col(KEY)).alias(KEY))


def _theirs(joined: Dataset, others: Sequence[Other]) -> Dataset:
    """The users of the others in place of the own ones, called ``<name>:<key>``."""
    train, validation, test = (
        Ragged(
            np.concatenate([part.values for part in parts]),
            ends(np.concatenate([part.lengths for part in parts])),
        )
        for parts in zip(*(other.parts() for other in others), strict=True)
    )
    keys = pl.concat([other.dataset.name + ":" + other.dataset.users.column for other in others])
    found = replace(joined, users=Texts(keys), train=train, validation=validation, test=test)
    # What is warm was taken by those it was trained on.
    found.__dict__["frequency"] = joined.frequency
    return found


def _shared(joined: Dataset, others: Sequence[Other]) -> Dataset:
    """The own users, and what those took elsewhere who are users of another one too.

    Raises:
        GenrecError: if there is none, or users are numbered in each data set.
    """
    rows: list[list[np.ndarray]] = [[], [], []]
    values: list[list[np.ndarray]] = [[], [], []]
    for other in others:
        if other.dataset.name != joined.name and _numbered(joined.users) and _numbered(other.dataset.users):
            raise GenrecError(
                f"the users of `{joined.name}` and `{other.dataset.name}` are numbered in each, so that nobody knows "
                "who is in both: give both data sets the users' own keys, or `data.foreign.users: theirs`"
            )
        row_of = _rows(joined.users, other.dataset.users)
        for part, into, taken in zip(other.parts(), rows, values, strict=True):
            whose = row_of[part.rows]
            into.append(whose[whose >= 0])
            taken.append(part.values[whose >= 0])
    count = len(joined.users)
    elsewhere = tuple(
        Ragged.from_rows(np.concatenate(whose), np.concatenate(taken), count)
        for whose, taken in zip(rows, values, strict=True)
    )
    found = replace(joined, elsewhere=elsewhere)
    if not found.targets("test").lengths.any():
        names = ", ".join(f"`{other.dataset.name}`" for other in others)
        raise GenrecError(
            f"no user of `{joined.name}` with test items is a user of {names}: `data.foreign.users: theirs` reads "
            "theirs"
        )
    return found


def _rows(users: Texts, others: Texts) -> np.ndarray:
    """The rows int64 [n] that n other users have among the users; -1 for who is none."""
    own = pl.DataFrame({"key": users.column}).with_row_index("row")
    found = pl.DataFrame({"key": others.column}).join(own, on="key", how="left", maintain_order="left")
    return found["row"].cast(pl.Int64).fill_null(-1).to_numpy()


def _numbered(users: Texts) -> bool:
    """Whether users are called by the numbers from 0 on, each once."""
    numbers = users.column.cast(pl.Int64, strict=False)
    return numbers.null_count() == 0 and bool((numbers.sort().to_numpy() == np.arange(len(numbers))).all())

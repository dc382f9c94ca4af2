"""What a checkpoint was trained on: it counts items by their rows, and rows change when data do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
import torch

from genrec.data.catalog import KEY, Catalog
from genrec.data.dataset import Anonymous, Dataset
from genrec.data.log import lists_of
from genrec.data.numbers import mixed, numbers
from genrec.data.ragged import Ragged
from genrec.data.texts import Texts
from genrec.errors import GenrecError

ENTRY = "trained_on"
"""Where a checkpoint keeps it."""
SPLITS = ("training", "validation", "test")
SLICE = 1 << 20
"""Rows that are hashed at a time."""


@dataclass(frozen=True)
class Origin:
    """The data set of a training, as far as it takes to find its items again and to see what has changed.

    Args:
        keys: of the N items, by row.
        counts: int64 [N], how often each was taken in training.
        texts: a hash of all else that is known of the items, by row.
        users: how many.
        order: a hash of their keys, by row.
        splits: a hash of each of `SPLITS`, whatever the order of users and items.
        assets: the folders of the assets that were used, by the keys of their recipes.
    """

    keys: Texts
    counts: np.ndarray
    texts: str
    users: int
    order: str
    splits: list[str]
    assets: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: Dataset, assets: Mapping[str, str]) -> Origin:
        """That of a data set.

        Args:
            dataset: what is trained on.
            assets: see `Origin`.
        """
        return cls(
            dataset.catalog.keys,
            dataset.frequency,
            _texts(dataset.catalog.items),
            len(dataset.users),
            _order(dataset.users),
            _splits(dataset),
            dict(assets),
        )

    @classmethod
    def read(cls, checkpoint: Mapping[str, Any]) -> Origin:
        """That of a checkpoint.

        Raises:
            GenrecError: if it does not say, or what it says makes no sense.
        """
        kept = checkpoint.get(ENTRY)
        if kept is None:
            raise GenrecError(
                f"the checkpoint does not say what it was trained on (`{ENTRY}`), and it counts items by their rows: "
                "take one that `genrec fit` wrote"
            )
        try:
            keys = Texts(_texts_of(kept["keys"].numpy(), kept["ends"].numpy()))
            rest = {name: value for name, value in kept.items() if name != "ends"}
            origin = cls(**{**rest, "keys": keys, "counts": kept["counts"].numpy()})
            Catalog(keys.column.to_frame())
            assert len(origin.counts) == len(keys)
            assert all(isinstance(text, str) for pair in origin.assets.items() for text in pair)
        except Exception as error:  # it may have been made by anybody
            raise GenrecError(f"the checkpoint does not say what it was trained on (`{ENTRY}` is damaged)") from error
        return origin

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: tensors and plain data. The keys are one text, and where each of them ends."""
        keys = torch.frombuffer(bytearray(self.keys.column.str.join("").item().encode()), dtype=torch.uint8)
        ends = torch.from_numpy(np.cumsum(self.keys.column.str.len_bytes().to_numpy(), dtype=np.int64))
        return {**vars(self), "keys": keys, "ends": ends, "counts": torch.from_numpy(self.counts.copy())}

    def missing(self, dataset: Dataset) -> Texts:
        """The keys of items that a data set has no more."""
        return Texts(self.keys.at(np.flatnonzero(dataset.catalog.find(self.keys) < 0)))

    def changes(self, dataset: Dataset) -> list[str]:
        """What a data set has otherwise, such as ``3 items came``; nothing if it is the same."""
        rows, went = dataset.catalog.find(self.keys), self.missing(dataset)
        came = len(dataset.catalog) + len(went) - len(self.keys)
        moved = int(((rows >= 0) & (rows != np.arange(len(rows)))).sum())
        found = [f"{_items(came)} came"] if came else []
        if went:
            found.append(f"{_items(len(went))} went (such as `{went[0]}`)")
        if moved:
            found.append(f"{_items(moved)} moved to other rows")
        if not went and self.retold(dataset):
            found.append("what is known of the items changed")
        if self.users != len(dataset.users):
            found.append(f"{self.users:,} users became {len(dataset.users):,}")
        elif self.order != _order(dataset.users):
            found.append("the users are others, or in another order")
        pairs = zip(SPLITS, self.splits, _splits(dataset), strict=True)
        changed = [name for name, old, new in pairs if old != new]
        if changed:
            found.append(f"the split changed ({', '.join(changed)})")
        return found

    def retold(self, dataset: Dataset) -> bool:
        """Whether anything but the key of an item is otherwise; no item is missing."""
        rows = dataset.catalog.rows(self.keys)
        return self.texts != _texts(dataset.catalog.items[rows])

    def renumbered(self, dataset: Dataset) -> Dataset:
        """A data set with the rows of the training; items that came since stand behind, as if never taken in it."""
        known = dataset.catalog.rows(self.keys)
        new = np.setdiff1d(np.arange(len(dataset.catalog)), known)
        order = np.concatenate([known, new])
        row_of = np.argsort(order)
        train, validation, test, *elsewhere = (
            Ragged(row_of[part.values], part.offsets)
            for part in (dataset.train, dataset.validation, dataset.test, *dataset.elsewhere)
        )
        cf = None if dataset.cf is None else dataset.cf[order]
        items = Catalog(dataset.catalog.items[order])
        again = replace(
            dataset, catalog=items, train=train, validation=validation, test=test, cf=cf, elsewhere=tuple(elsewhere)
        )
        again.__dict__["frequency"] = np.pad(self.counts, (0, len(new)))
        return again

    def known(self, dataset: Dataset) -> Dataset:
        """What it was trained on without the users, from a data set that was `renumbered`."""
        return Anonymous(dataset.name, Catalog(dataset.catalog.items[: len(self.keys)]), self.counts)


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count:,} items"


def _order(keys: Texts) -> str:
    return hashlib.sha256(numbers(keys).tobytes()).hexdigest()


def _texts(items: pl.DataFrame) -> str:
    digest = hashlib.sha256()
    for part in items.iter_slices(SLICE):
        digest.update(part.write_ndjson().encode())
    return digest.hexdigest()


def _splits(dataset: Dataset) -> list[str]:
    """A sum over the interactions: of user, place in his list, and item."""
    users, items = numbers(dataset.users), numbers(dataset.catalog.keys)
    found = []
    for lists in (dataset.train, dataset.validation, dataset.test):
        total = 0
        for some in lists_of(lists.offsets):
            offsets = lists.offsets[some.start : some.stop + 1]
            lengths = np.diff(offsets)
            places = np.arange(offsets[0], offsets[-1]) - np.repeat(offsets[:-1], lengths)
            taken = lists.values[offsets[0] : offsets[-1]]
            each = mixed(mixed(np.repeat(users[some], lengths) + places.astype(np.uint64)) ^ items[taken])
            total += int(each.sum(dtype=np.uint64))
        found.append(f"{total % 2**64:016x}")
    return found


def _texts_of(letters: np.ndarray, ends: np.ndarray) -> pl.Series:
    """Keys of the bytes that they are, one after another, and where each ends.

    Raises:
        pyarrow.ArrowInvalid: if that is no text, or ends are out of order.
    """
    import pyarrow as pa  # takes longer than most checkpoints

    assert (letters.dtype, ends.dtype, ends.ndim) == (np.uint8, np.int64, 1)
    offsets = np.concatenate([[0], ends])
    keys = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(letters))
    keys.validate(full=True)
    return pl.Series(KEY, keys)

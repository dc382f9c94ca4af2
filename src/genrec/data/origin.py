"""What a checkpoint was trained on: it counts items by their rows, and rows change when data do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
import torch

from genrec.data.catalog import KEY, Catalog
from genrec.data.dataset import Anonymous, Dataset
from genrec.data.ragged import Ragged
from genrec.errors import GenrecError

ENTRY = "trained_on"
"""Where a checkpoint keeps it."""
SPLITS = ("training", "validation", "test")


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

    keys: list[str]
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
        items = dataset.catalog.items
        return cls(
            items[KEY].to_list(),
            dataset.frequency,
            _texts(items),
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
            keys = json.loads(kept["keys"].numpy().tobytes())
            origin = cls(**{**kept, "keys": keys, "counts": kept["counts"].numpy()})
            Catalog(pl.DataFrame({KEY: pl.Series(keys, dtype=pl.String)}))
            assert len(origin.counts) == len(keys)
            assert all(isinstance(text, str) for pair in origin.assets.items() for text in pair)
        except Exception as error:  # it may have been made by anybody
            raise GenrecError(f"the checkpoint does not say what it was trained on (`{ENTRY}` is damaged)") from error
        return origin

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: tensors and plain data."""
        keys = torch.frombuffer(bytearray(json.dumps(self.keys).encode()), dtype=torch.uint8)
        return {**vars(self), "keys": keys, "counts": torch.from_numpy(self.counts.copy())}

    def missing(self, dataset: Dataset) -> list[str]:
        """The keys of items that a data set has no more."""
        there = set(dataset.catalog.keys)
        return [key for key in self.keys if key not in there]

    def changes(self, dataset: Dataset) -> list[str]:
        """What a data set has otherwise, such as ``3 items came``; nothing if it is the same."""
        row_of = {key: row for row, key in enumerate(dataset.catalog.keys)}
        went = self.missing(dataset)
        came = len(row_of) + len(went) - len(self.keys)
        moved = sum(row_of.get(key, row) != row for row, key in enumerate(self.keys))
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
        train, validation, test = (
            Ragged(row_of[part.values], part.offsets) for part in (dataset.train, dataset.validation, dataset.test)
        )
        cf = None if dataset.cf is None else dataset.cf[order]
        items = Catalog(dataset.catalog.items[order])
        again = replace(dataset, catalog=items, train=train, validation=validation, test=test, cf=cf)
        again.__dict__["frequency"] = np.pad(self.counts, (0, len(new)))
        return again

    def known(self, dataset: Dataset) -> Dataset:
        """What it was trained on without the users, from a data set that was `renumbered`."""
        return Anonymous(dataset.name, Catalog(dataset.catalog.items[: len(self.keys)]), self.counts)


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count:,} items"


def _order(keys: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps(list(keys)).encode()).hexdigest()


def _texts(items: pl.DataFrame) -> str:
    return hashlib.sha256(items.write_ndjson().encode()).hexdigest()


def _splits(dataset: Dataset) -> list[str]:
    """A sum over the interactions: of user, place in his list, and item."""
    users, items = _numbers(dataset.users), _numbers(dataset.catalog.keys)
    found = []
    for lists in (dataset.train, dataset.validation, dataset.test):
        places = np.arange(len(lists.values)) - lists.offsets[lists.rows]
        mixed = _mix(_mix(users[lists.rows] + places.astype(np.uint64)) ^ items[lists.values])
        found.append(f"{int(mixed.sum(dtype=np.uint64)):016x}")
    return found


def _numbers(keys: list[str]) -> np.ndarray:
    """A number for every key, uint64, the same in every process."""
    digests = b"".join(hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest() for key in keys)
    return np.frombuffer(digests, "<u8")


def _mix(numbers: np.ndarray) -> np.ndarray:
    """Spread every bit over all 64 (the finaliser of splitmix64)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))

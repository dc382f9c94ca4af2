"""The folder format of SETRec's release (github.com/Linxyhaha/SETRec, ``data/``), read without trusting its pickles."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from genrec.data.catalog import KEY, Catalog
from genrec.data.columns import item_table, shown
from genrec.data.dataset import Dataset, Source
from genrec.data.files import Findings, read_table
from genrec.data.ragged import Ragged
from genrec.data.sources.safe_pickle import load_npy, load_pickle
from genrec.data.splits import LeaveOneOut
from genrec.data.texts import Texts
from genrec.errors import GenrecError

TRAINING, VALIDATION, TEST = "training_dict.npy", "validation_dict.npy", "testing_dict.npy"
EMBEDDINGS = "SASRec_item_embed.pkl"
ITEMS, USERS = "items.jsonl", "users.jsonl"
LARGEST = 2**31
"""No id is as large: ids are rows of tables."""
SPARSE, SMALL = 10, 1_000_000
"""Without an item table, ids may leave out so many for each that occurs, or reach so far: every id is given a row."""


class Release(Source):
    """A split that was published ready-made: dictionaries of users' item lists, in the order of time.

    The folder ``root/name``, ``root/setrec/name`` or `root` itself holds ``training_dict.npy``,
    ``validation_dict.npy`` and ``testing_dict.npy`` (user id to list of item ids), and, where there are any,
    ``SASRec_item_embed.pkl`` (a tensor [N, d]) and ``items.jsonl`` (``item_id`` 0 to N-1 in order, ``asin``, ``title``,
    ``brand``, ``categories``, ``description``, ``tags``). Without ``items.jsonl`` the items have no text. A user's
    repeated test items count once. Users are called by their ids, which mean somebody else in every data set, unless
    ``users.jsonl`` (``user_id``, ``key``) says who they are.

    Args:
        name: of the folder and of the data set.
        otherwise: makes the data set where there is no such folder.
        split: cuts every user's whole list anew; the data set is called by the name and ``_loo``. The folder's
            collaborative embeddings, of another training split, are left out then.
    """

    def __init__(self, name: str, otherwise: Source | None = None, split: LeaveOneOut | None = None) -> None:
        self.name = name
        self.otherwise = otherwise
        self.split = split

    def load(self, root: str | Path) -> Dataset:
        """Read the folder.

        Raises:
            GenrecError: if a file is missing or broken, or the files do not fit together.
        """
        folder = self._folder(Path(root))
        if folder is None:
            return self._elsewhere(Path(root))
        training = _lists(folder / TRAINING)
        users = list(training)
        train = Ragged.from_lists(training.values())
        validation, test = (_of_users(users, folder / file) for file in (VALIDATION, TEST))
        cf = _embeddings(folder / EMBEDDINGS) if (folder / EMBEDDINGS).is_file() else None
        findings = Findings()
        if (folder / ITEMS).is_file():
            catalog = _catalog(folder / ITEMS, findings)
        else:
            taken = np.unique(np.concatenate([lists.values for lists in (train, validation, test)]))
            catalog = _numbered(taken, cf, folder)
            findings.count("ids that nobody took, items without text like all", len(catalog) - len(taken))
        keys = Texts(str(user) for user in users) if not (folder / USERS).is_file() else _keys(users, folder / USERS)
        if self.split is None:
            return Dataset(self.name, catalog, keys, train, validation, test.unique(), cf, notes=findings.notes())
        findings["cut anew, for leave-one-out"] = "users who had too little before the release's first cut are missing"
        lists = train.join(validation).join(test).unique()
        return _cut(f"{self.name}_loo", catalog, keys, lists, self.split.min_train, findings)

    def _folder(self, root: Path) -> Path | None:
        return next((place for place in self._places(root) if (place / TRAINING).is_file()), None)

    def _places(self, root: Path) -> list[Path]:
        return [root / self.name, root / "setrec" / self.name, root]

    def _elsewhere(self, root: Path) -> Dataset:
        looked = ", ".join(f"`{place}`" for place in self._places(root))
        absent = f"no data set `{self.name}`: there is no {TRAINING} in {looked} (set --data.root)"
        if self.otherwise is None:
            raise GenrecError(absent)
        try:
            return self.otherwise.load(root)
        except GenrecError as error:
            raise GenrecError(f"{absent}, and it cannot be made from raw files: {error}") from error


def _cut(name: str, catalog: Catalog, keys: Texts, lists: Ragged, min_train: int, findings: Findings) -> Dataset:
    """Every user's last item for test, the one before for validation; users with fewer than `min_train` others go."""
    kept = lists.lengths >= min_train + 2
    findings.count(f"users left out, with fewer than {min_train} training interactions", int((~kept).sum()))
    rows, number_of = lists.rows, np.cumsum(kept) - 1
    labels = np.maximum(2 - (lists.offsets[rows + 1] - 1 - np.arange(len(rows))), 0)
    parts = [kept[rows] & (labels == number) for number in range(3)]
    train, validation, test = (
        Ragged.from_rows(number_of[rows[part]], lists.values[part], int(kept.sum())) for part in parts
    )
    users = Texts(keys.column.filter(pl.Series(kept)))
    return Dataset(name, catalog, users, train, validation, test, notes=findings.notes())


def _lists(path: Path) -> dict[int, list[int]]:
    """A file's dictionary of user id to list of item ids."""
    lists = load_npy(path)
    if not isinstance(lists, dict):
        raise GenrecError(f"`{path}` holds no dictionary of users' item lists, but {_kind(lists)}")
    strange = next((user for user in lists if not (_is_id(user) or isinstance(user, str))), None)
    if strange is not None:
        raise GenrecError(f"`{path}`: a user is a whole number or a text, not `{strange}`")
    twice = [name for name, count in Counter(map(str, lists)).items() if count > 1]
    if twice:
        raise GenrecError(f"`{path}`: two users are called {twice[0]}, one by a number and one by a text")
    for user, items in lists.items():
        if not isinstance(items, list) or not all(map(_is_id, items)):
            raise GenrecError(f"`{path}`: what user {user} took is not a list of whole numbers, but {_kind(items)}")
        outside = next((item for item in items if not 0 <= item < LARGEST), None)
        if outside is not None:
            raise GenrecError(f"`{path}`: user {user} took item {outside}, but items are numbered from 0 on")
    return lists


def _is_id(item: object) -> bool:
    return isinstance(item, (int, np.integer)) and not isinstance(item, bool)


def _of_users(users: list[int], path: Path) -> Ragged:
    """The lists of `users` in a file; a user who is not in it has none."""
    lists = _lists(path)
    unknown = lists.keys() - users
    if unknown:
        raise GenrecError(f"`{path}`: user {min(unknown, key=str)} is not in {TRAINING} ({len(unknown)} such users)")
    return Ragged.from_lists(lists.get(user, []) for user in users)


def _keys(users: list[int], path: Path) -> Texts:
    """What users are called in a file.

    Raises:
        GenrecError: if it lacks one, or calls two by one name.
    """
    found = read_table(path)
    if not {"user_id", "key"} <= set(found.columns):
        raise GenrecError(f"`{path}` needs the fields `user_id` and `key`; its fields are: {', '.join(found.columns)}")
    for field in ("user_id", "key"):
        if found.schema[field].is_nested():
            raise GenrecError(f"`{path}`: `{field}` is a text or a whole number, not {found[field].to_list()[0]!r}")
    names = found.select(pl.col("user_id", "key").cast(pl.String).str.strip_chars())
    ids = names["user_id"]
    if (again := ids.is_duplicated()).any():
        raise GenrecError(f"`{path}`: user {ids.filter(again)[0]} is there twice")
    key_of = dict(names.iter_rows())
    keys = [key_of.get(str(user)) or "" for user in users]
    if "" in keys:
        raise GenrecError(f"`{path}` has no key of user {users[keys.index('')]}, who is in {TRAINING}")
    if len(set(keys)) < len(keys):
        raise GenrecError(f"`{path}`: {len(keys) - len(set(keys))} users have the key of another one")
    return Texts(keys)


def _embeddings(path: Path) -> np.ndarray:
    table = load_pickle(path)
    if isinstance(table, torch.Tensor):
        table = table.detach().numpy()
    if not isinstance(table, np.ndarray) or table.ndim != 2 or not np.issubdtype(table.dtype, np.floating):
        raise GenrecError(f"`{path}` holds no table of numbers [items, features], but {_kind(table)}")
    wrong = ~np.isfinite(table).all(1)
    if wrong.any():
        raise GenrecError(
            f"`{path}`: row {int(wrong.argmax())} holds numbers that are not finite ({wrong.sum()} such rows)"
        )
    return np.ascontiguousarray(table, np.float32)


def _numbered(taken: np.ndarray, cf: np.ndarray | None, folder: Path) -> Catalog:
    """The catalogue where nothing but numbers is known.

    Args:
        taken: the items of all interactions, each once.
        cf: the collaborative embeddings, if there are any; there may be more than items that were taken.
        folder: where they are.

    Raises:
        GenrecError: if numbers are missing in great number, or the embeddings have the extra row of SASRec's tables.
    """
    count, distinct = int(taken.max(initial=0)) + 1, len(taken)
    if count > max(SMALL, SPARSE * distinct):
        raise GenrecError(
            f"`{folder}` has {distinct:,} items with ids up to {count - 1:,}: ids are rows from 0 on; number the items "
            f"anew, or write {ITEMS} with a line for each"
        )
    if cf is None:
        return Catalog(pl.DataFrame({KEY: range(count)}))
    empty = [row for row in (0, len(cf) - 1) if not cf[row].any() and cf.any()]
    if len(cf) == count + 1 or (empty and len(cf) > count):
        where = f"row {empty[0]} is empty" if empty else "one of them belongs to no item"
        raise GenrecError(
            f"`{folder / EMBEDDINGS}` has {len(cf)} rows for {count} items, and {where}: SASRec's own tables begin "
            f"with a row for padding, which moves every item by one; leave that row out, or write {ITEMS} with a line "
            "for each item"
        )
    return Catalog(pl.DataFrame({KEY: range(len(cf))}))


def _catalog(path: Path, findings: Findings) -> Catalog:
    items = read_table(path)
    if "item_id" not in items.columns:
        raise GenrecError(f"`{path}` has no field `item_id`; its fields are: {', '.join(items.columns)}")
    for name in ("item_id", "asin"):
        if name in items.columns and items[name].dtype.is_nested():
            value = shown(items[name].drop_nulls()[0])
            raise GenrecError(f"`{path}`: `{value}` in field `{name}` is no key: keys are text or whole numbers")
    ids = items["item_id"].cast(pl.String)
    for row, item in enumerate(ids):
        if item != str(row):
            raise GenrecError(f"`{path}`: entry {row + 1} has item_id {item}, not {row}: ids run from 0 in order")
    key = pl.coalesce(*(pl.col(name).cast(pl.String) for name in ("asin", "item_id") if name in items.columns))
    table = item_table(items.drop("asin", strict=False), ids, findings)
    return Catalog(table.with_columns(items.select(key).to_series().alias(KEY)))


def _kind(value: Any) -> str:
    shape = f" of shape {list(value.shape)}" if isinstance(value, np.ndarray) else ""
    return f"a {type(value).__name__}{shape}"

"""Vectors that were made elsewhere: read from a file, and found by the items' keys, never by where they stand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from genrec.assets.recipe import EMBEDDINGS, EmbeddingAsset, WithoutUsers, hash_texts
from genrec.data import Catalog, Dataset
from genrec.data.catalog import KEY
from genrec.errors import GenrecError
from genrec.io.folders import sha256

VECTOR = "embedding"
"""The column of a parquet file that holds the vectors, beside ``item``."""


@dataclass(frozen=True)
class FileEmbeddings(EmbeddingAsset, WithoutUsers):
    """A table of vectors from a file.

    Args:
        path: a ``.parquet`` file with the columns ``item`` (a key) and ``embedding`` (a list of numbers); or a table
            ``.npy`` or ``.safetensors`` (its only tensor, or the one called ``embeddings``), whose rows are named by
            ``keys``.
        keys: the items of the rows, in their order: a ``.json`` list, a ``.txt`` file with a key per line, or a
            ``.parquet`` or ``.csv`` file with a column ``item``.
        missing: what becomes of items that the file does not have: "refuse" them, or give them the "mean" of the rest.
    """

    path: str
    keys: str | None = None
    missing: Literal["refuse", "mean"] = "refuse"

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return f"file-{Path(self.path).stem}"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`: what is in the files, not where they lie."""
        return {
            "files": hash_files(self.path, self.keys),
            "missing": self.missing,
            "items": hash_texts(dataset.catalog.keys),
        }

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        """See `Asset.build`; how many vectors are of no item, or are made up, is said.

        Raises:
            GenrecError: if a file cannot be read, does not say whose its rows are, or lacks items.
        """
        keys, table = read_vectors(self.path, self.keys)
        found = keys.find(dataset.catalog.keys)
        if extra := len(keys) - int((found >= 0).sum()):
            print(f"{self.path}: {extra:,} of {len(keys):,} vectors are of no item of {dataset.name}")
        return {EMBEDDINGS: self._of(dataset.catalog, found, table)}

    def added(self, catalog: Catalog, dataset: Dataset, built: dict[str, np.ndarray]) -> np.ndarray:
        """See `EmbeddingAsset.added`: those that the file has of them."""
        keys, table = read_vectors(self.path, self.keys)
        found = keys.find(catalog.keys)
        return self._of(catalog, found, table)[len(dataset.catalog) :]

    def _of(self, catalog: Catalog, found: np.ndarray, table: np.ndarray) -> np.ndarray:
        """The rows of a table that belong to the items, float32 [N, d]; ``found`` [N] is -1 where there is none."""
        lacking = int((found < 0).sum())
        if lacking and (self.missing == "refuse" or lacking == len(found)):
            raise GenrecError(
                f"`{self.path}` has no vector of {lacking:,} of {len(found):,} items, such as "
                f"`{catalog.keys[int((found < 0).argmax())]}`: give them, or `missing: mean`"
            )
        rows = np.asarray(table[np.maximum(found, 0)], np.float32)
        if not np.isfinite(rows[found >= 0]).all():
            row = int((~np.isfinite(rows).all(1) & (found >= 0)).argmax())
            raise GenrecError(f"`{self.path}`: the vector of `{catalog.keys[row]}` has NaN or infinite numbers")
        if lacking:
            print(f"{self.path}: {lacking:,} of {len(found):,} items have no vector, and get the mean of the others")
            rows[found < 0] = rows[found >= 0].mean(0)
        return rows


def read_vectors(path: str, keys: str | None) -> tuple[Catalog, np.ndarray]:
    """The items of a file's rows, and the table [n, d]; see `FileEmbeddings`.

    Raises:
        GenrecError: if a file cannot be read, or does not say whose its rows are.
    """
    file = present(path)
    if file.suffix == ".parquet":
        if keys is not None:
            raise GenrecError(f"`{path}` names its rows itself, in the column `{KEY}`: leave `keys` out")
        frame = read_table(file, (KEY, VECTOR))
        return named(path, frame[KEY]), side_by_side(path, frame[VECTOR], pl.Float32())
    if file.suffix not in (".npy", ".safetensors"):
        raise GenrecError(f"`{path}`: vectors come as .parquet, .npy or .safetensors")
    table = _table(file)
    if table.ndim != 2 or table.dtype.kind not in "fiu":
        raise GenrecError(f"`{path}` is no table of numbers [items, width], but {table.dtype} {list(table.shape)}")
    if keys is None:
        raise GenrecError(
            f"`{path}` does not say whose its {len(table):,} rows are: give their items, in order, as `keys: FILE`"
        )
    items = read_keys(keys)
    if len(items) != len(table):
        more = len(table) - len(items)
        why = ", as of a trained table whose first row is padding" if more == 1 else ""
        raise GenrecError(
            f"`{path}` has {len(table):,} rows and `{keys}` {len(items):,} items: {abs(more):,} "
            f"{'too many' if more > 0 else 'too few'}{why}"
        )
    return items, table


def side_by_side(path: str, lists: pl.Series, kind: pl.DataType) -> np.ndarray:
    """A column of lists of numbers as a table [n, d].

    Raises:
        GenrecError: if it is none, or they are not equally long.
    """
    try:
        if lists.dtype == pl.List:
            lists = lists.cast(pl.Array(kind, int(lists.list.len().max() or 0)))  # type: ignore[arg-type]
        found: np.ndarray = lists.cast(pl.Array(kind, lists.dtype.shape[0])).to_numpy()  # type: ignore[attr-defined]
        return found
    except Exception as error:
        raise GenrecError(f"`{path}`: `{lists.name}` has to hold lists of numbers, all of one length") from error


def read_keys(path: str) -> Catalog:
    """The items of a file's rows, in their order; see `FileEmbeddings`.

    Raises:
        GenrecError: if the file cannot be read, or names an item twice.
    """
    file = present(path)
    if file.suffix == ".txt":
        return named(path, pl.Series(file.read_text(encoding="utf-8-sig").splitlines(), dtype=pl.String))
    if file.suffix == ".json":
        found = read_json(file)
        if not isinstance(found, list) or not all(isinstance(key, str | int) for key in found):
            raise GenrecError(f"`{path}` has to be a list of keys")
        return named(path, pl.Series([str(key) for key in found], dtype=pl.String))
    return named(path, read_table(file, (KEY,))[KEY])


def named(path: str, keys: pl.Series) -> Catalog:
    """Items by their keys; each once.

    Raises:
        GenrecError: if a key is missing, or one is there twice.
    """
    keys = keys.cast(pl.String)
    if keys.null_count():
        raise GenrecError(f"`{path}`: row {int(keys.is_null().arg_max() or 0)} has no key")
    if keys.n_unique() < len(keys):
        raise GenrecError(f"`{path}` has the item `{keys.filter(keys.is_duplicated())[0]}` twice")
    return Catalog(pl.DataFrame({KEY: keys}))


def read_table(file: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    """Columns of a ``.parquet`` or ``.csv`` file.

    Raises:
        GenrecError: if it is neither, cannot be read, or lacks one.
    """
    if file.suffix not in (".parquet", ".csv"):
        raise GenrecError(f"`{file}`: keys come as .txt, .json, .parquet or .csv")
    try:
        frame = pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_csv(file, infer_schema=False)
    except Exception as error:  # anybody may have made it
        raise GenrecError(f"cannot read `{file}`: {str(error).splitlines()[0]:.200}") from error
    for column in columns:
        if column not in frame.columns:
            raise GenrecError(f"`{file}` has no column `{column}`; it has {', '.join(frame.columns)}")
    return frame


def read_json(file: Path) -> Any:
    """What a ``.json`` file holds.

    Raises:
        GenrecError: if it cannot be read.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise GenrecError(f"cannot read `{file}`: {error}") from error


def present(path: str) -> Path:
    """A file that is there.

    Raises:
        GenrecError: if it is not.
    """
    if not Path(path).is_file():
        raise GenrecError(f"there is no file `{path}` (looked in `{Path().absolute()}`)")
    return Path(path)


def hash_files(*paths: str | None) -> list[str]:
    """Hashes of files' contents, read once by a process for as long as a file stays as it is; of those that are named.

    Raises:
        GenrecError: if there is no such file.
    """
    files = [(Path(path).resolve(), present(path).stat()) for path in paths if path is not None]
    return [_hash(str(file), state.st_size, state.st_mtime_ns) for file, state in files]


@lru_cache
def _hash(path: str, size: int, changed: int) -> str:
    return sha256(Path(path))


def _table(file: Path) -> np.ndarray:
    try:
        if file.suffix == ".npy":
            return np.load(file, mmap_mode="r", allow_pickle=False)
        from safetensors import safe_open

        with safe_open(file, "np") as tensors:
            names = list(tensors.keys())
            if len(names) > 1 and EMBEDDINGS not in names:
                raise GenrecError(f"`{file}` has {len(names)} tensors: call the one that is meant `{EMBEDDINGS}`")
            found: np.ndarray = tensors.get_tensor(names[0] if len(names) == 1 else EMBEDDINGS)
            return found
    except GenrecError:
        raise
    except Exception as error:  # anybody may have made it
        raise GenrecError(f"cannot read `{file}`: {str(error).splitlines()[0]:.200}") from error

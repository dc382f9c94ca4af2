"""Codes that were made elsewhere: read from a file, and found by the items' keys."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from genrec.assets.codes.diagnostics import report
from genrec.assets.codes.fitted import check_grid
from genrec.assets.given import KEY, hash_files, named, present, read_json, read_keys, read_table, side_by_side
from genrec.assets.recipe import ItemCodes, hash_texts
from genrec.data import Catalog, Dataset
from genrec.errors import GenrecError

CODES = "codes"
"""The column of a parquet file that holds them, beside ``item``."""
TOKEN = re.compile(r"<[a-z]\d*_(\d+)>")
"""A code as others write it: the level's letter, and a number."""


@dataclass(frozen=True)
class FileCodes(ItemCodes):
    """Codes from a file. Items that are added later have none, and are refused.

    Args:
        path: a ``.json`` file of the form ``{"key": [12, 200, 7]}`` or ``{"key": ["<a_12>", "<b_200>", "<c_7>"]}``, as
            the ``index.json`` of LETTER's and MiniOneRec's code; a ``.parquet`` file with the columns ``item`` and
            ``codes`` (lists of whole numbers); or a table ``.npy`` or ``.pt`` [items, levels], or turned, as GRID's,
            whose items are named by ``keys``.
        keys: see `genrec.assets.FileEmbeddings`.
    """

    path: str
    keys: str | None = None

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return f"codes-file-{Path(self.path).stem}"

    @property
    def sources(self) -> Sequence[str]:
        """See `FromEmbeddings.sources`: none."""
        return ()

    @property
    def length(self) -> int:
        """See `ItemCodes.length`: as many as the file has."""
        return self._read()[1].shape[1]

    @property
    def size(self) -> int:
        """See `ItemCodes.size`: one more than the largest of the file."""
        return int(self._read()[1].max()) + 1

    @property
    def unique(self) -> bool:
        """See `ItemCodes.unique`: as they are in the file."""
        codes = self._read()[1]
        return len(np.unique(codes, axis=0)) == len(codes)

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `FromEmbeddings.fingerprint`: what is in the files, not where they lie."""
        return {"files": hash_files(self.path, self.keys), "items": hash_texts(dataset.catalog.keys)}

    def build(self, dataset: Dataset, folder: Path, embeddings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `FromEmbeddings.build`.

        Raises:
            GenrecError: if the file cannot be read, or lacks items.
        """
        keys, table = self._read()
        found = keys.find(dataset.catalog.keys)
        if (found < 0).any():
            raise GenrecError(
                f"`{self.path}` has no codes of {int((found < 0).sum()):,} of {len(found):,} items, such as "
                f"`{dataset.catalog.keys[int((found < 0).argmax())]}`"
            )
        if extra := len(keys) - len(np.unique(found)):
            print(f"{self.path}: {extra:,} of {len(keys):,} codes are of no item of {dataset.name}")
        codes = table[found]
        report(f"{self.path} for {dataset.name}", folder, torch.from_numpy(codes), self.size, {})
        return {CODES: codes}

    def encode(self, embeddings: Mapping[str, np.ndarray], built: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `ItemCodes.encode`.

        Raises:
            GenrecError: always.
        """
        raise GenrecError(
            f"codes of items that are added later cannot be made from `{self.path}`: train with them in it, or use a "
            "recipe that learns codes, such as RQKMeansCodes"
        )

    def _read(self) -> tuple[Catalog, np.ndarray]:
        return _read(self.path, self.keys, *hash_files(self.path, self.keys))


@lru_cache(maxsize=4)
def _read(path: str, keys: str | None, *hashes: str) -> tuple[Catalog, np.ndarray]:
    """The items of a file and their codes, int64 [n, L]; ``hashes`` are those of the files."""
    file = present(path)
    if file.suffix not in (".json", ".parquet", ".npy", ".pt"):
        raise GenrecError(f"`{path}`: codes come as .json, .parquet, .npy or .pt")
    if file.suffix in (".json", ".parquet") and keys is not None:
        raise GenrecError(f"`{path}` names its rows itself: leave `keys` out")
    if file.suffix == ".json":
        items, table = _index(path, read_json(file))
    elif file.suffix == ".parquet":
        frame = read_table(file, (KEY, CODES))
        items, table = named(path, frame[KEY]), side_by_side(path, frame[CODES], pl.Int64())
    else:
        items, table = _rows(path, keys)
    if not table.size or table.min() < 0:
        raise GenrecError(f"`{path}`: codes are whole numbers from 0 on, at least one for every item")
    check_grid(f"`{path}`", table.shape[1], int(table.max()) + 1, 1)
    return items, table


def _index(path: str, found: Any) -> tuple[Catalog, np.ndarray]:
    """Lists of numbers, or of tokens, by key."""
    if not isinstance(found, Mapping) or not found:
        raise GenrecError(f'`{path}` has to hold the codes of items by key, such as {{"B001": [12, 200, 7]}}')
    rows: list[list[int | None]] = []
    for key, codes in found.items():
        row = [_code(code) for code in codes] if isinstance(codes, list) else []
        if not row or None in row or (rows and len(row) != len(rows[0])):
            raise GenrecError(
                f"`{path}`: the codes of `{key:.80}` are {codes!s:.80}, not {len(rows[0]) if rows else 'a list of'} "
                "numbers, or tokens such as <a_12>"
            )
        rows.append(row)
    return named(path, pl.Series(list(found), dtype=pl.String)), np.array(rows, np.int64)


def _code(code: Any) -> int | None:
    if isinstance(code, int) and not isinstance(code, bool):
        return code
    token = TOKEN.fullmatch(code) if isinstance(code, str) else None
    return int(token[1]) if token else None


def _rows(path: str, keys: str | None) -> tuple[Catalog, np.ndarray]:
    """A table whose items are named elsewhere; the longer side is that of the items."""
    if keys is None:
        raise GenrecError(f"`{path}` does not say whose its codes are: give their items, in order, as `keys: FILE`")
    try:
        if path.endswith(".npy"):
            table = np.load(path, allow_pickle=False)
        else:
            table = torch.load(path, map_location="cpu", weights_only=True).numpy()
    except Exception as error:  # anybody may have made it
        raise GenrecError(f"cannot read `{path}`: {str(error).splitlines()[0]:.200}") from error
    items = read_keys(keys)
    if table.ndim != 2 or table.dtype.kind not in "iu" or len(items) not in table.shape:
        raise GenrecError(
            f"`{path}` is {table.dtype} {list(table.shape)}: whole numbers [items, levels] are expected, of the "
            f"{len(items):,} items of `{keys}`"
        )
    return items, (table if table.shape[0] == len(items) else table.T).astype(np.int64)

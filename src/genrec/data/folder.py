"""A data set as a folder of arrays that are mapped: raw files are read once, and processes share the pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.data.catalog import Catalog
from genrec.data.dataset import Dataset, check_name
from genrec.data.files.places import PREPARED
from genrec.data.ragged import Ragged
from genrec.data.texts import Texts
from genrec.errors import GenrecError
from genrec.io.disk import cannot_write
from genrec.io.folders import build_once

FORMAT = 3
"""Goes up when the same files would become another data set, or other arrays: what was prepared is then made anew."""
ITEMS, USERS, NOTES = "items.arrow", "users.arrow", "notes.json"
SPLITS = ("train", "validation", "test")


def prepared(root: Path, name: str, fingerprint: Mapping[str, Any], make: Callable[[Path], Dataset]) -> Dataset:
    """A data set that is made once, by one process, into a folder below ``root/prepared/``, and mapped from there.

    Args:
        root: the folder of the data.
        name: of the data set.
        fingerprint: everything that decides what it becomes, as json.
        make: makes it; its argument is a folder for what is written meanwhile.

    Raises:
        GenrecError: if it cannot be made, or nothing can be written there.
    """
    check_name(name)
    whole = {"format": FORMAT, "name": name, **fingerprint}

    def build(folder: Path, scratch: Path) -> None:
        save(make(scratch), folder)

    try:
        return load(build_once(root / PREPARED, name, whole, build))
    except OSError as error:
        raise GenrecError(
            f"{name}: cannot prepare it in `{root / PREPARED}`: {cannot_write(error) or error}; --data.root names a "
            "folder that can be written to, and files may be named by their whole paths"
        ) from error


def save(dataset: Dataset, folder: Path) -> None:
    """Write a data set into a folder; collaborative embeddings are not kept."""
    # Not compressed, so that they can be mapped.
    dataset.catalog.items.write_ipc(folder / ITEMS)
    dataset.users.column.rename("user").to_frame().write_ipc(folder / USERS)
    for split in SPLITS:
        lists = getattr(dataset, split)
        np.save(folder / f"{split}.npy", lists.values.astype(np.int32, copy=False))
        np.save(folder / f"{split}.offsets.npy", lists.offsets)
    notes = {"name": dataset.name, "notes": dict(dataset.notes)}
    (folder / NOTES).write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> Dataset:
    """Map what `save` wrote."""
    notes = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    train, validation, test = (
        Ragged(*(np.load(folder / f"{split}{ending}.npy", mmap_mode="r") for ending in ("", ".offsets")))
        for split in SPLITS
    )
    catalog = Catalog.kept(_mapped(folder / ITEMS))
    users = Texts(_mapped(folder / USERS)["user"])
    return Dataset(notes["name"], catalog, users, train, validation, test, notes=notes["notes"])


def _mapped(file: Path) -> pl.DataFrame:
    """A table whose columns lie in the file's pages, not in memory of the process's own."""
    import pyarrow as pa  # takes longer than some commands

    table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame

"""A data set as a folder of parquet files, so that raw files are read once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl

from genrec.data.catalog import Catalog
from genrec.data.dataset import Dataset
from genrec.data.ragged import Ragged
from genrec.data.texts import Texts

ITEMS, USERS, INTERACTIONS, NOTES = "items.parquet", "users.parquet", "interactions.parquet", "notes.json"
SPLITS = ("train", "validation", "test")


def save(dataset: Dataset, folder: Path) -> None:
    """Write a data set into a folder; collaborative embeddings are not kept."""
    dataset.catalog.items.write_parquet(folder / ITEMS)
    pl.DataFrame({"user": dataset.users.column}).write_parquet(folder / USERS)
    parts = [(split, getattr(dataset, split)) for split in SPLITS]
    pl.concat(
        pl.DataFrame({"split": split, "user": lists.rows, "item": lists.values}).cast({"split": pl.Categorical})
        for split, lists in parts
    ).write_parquet(folder / INTERACTIONS)
    notes = {"name": dataset.name, "notes": dict(dataset.notes)}
    (folder / NOTES).write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> Dataset:
    """Read what `save` wrote."""
    notes = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    users = Texts(pl.read_parquet(folder / USERS)["user"])
    interactions = pl.read_parquet(folder / INTERACTIONS)

    def lists(split: str) -> Ragged:
        part = interactions.filter(pl.col("split") == split)
        rows, values = (part[column].to_numpy().astype(np.int64) for column in ("user", "item"))
        return Ragged.from_rows(rows, values, len(users))

    train, validation, test = map(lists, SPLITS)
    catalog = Catalog(pl.read_parquet(folder / ITEMS))
    return Dataset(notes["name"], catalog, users, train, validation, test, notes=notes["notes"])

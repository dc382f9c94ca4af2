"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrec.data import Catalog, Dataset, Ragged


@pytest.fixture(autouse=True)
def no_seed_is_left() -> Iterator[None]:
    """Lightning's `seed_everything` leaves its number in the environment, where the next test would find it."""
    yield
    os.environ.pop("PL_GLOBAL_SEED", None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the checkout: real data, golden numbers and a T5 tokenizer."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder `shared` with real data is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """Twelve items in two series, ten of them warm; eight users who walk through a series in order."""
    catalog = Catalog(
        pl.DataFrame(
            {
                "item": [f"key{item}" for item in range(12)],
                "title": [f"{'red train' if item < 6 else 'blue boat'} number {item % 6}" for item in range(12)],
                "brand": ["Acme" if item % 2 else None for item in range(12)],
                "categories": [["Toys", "Trains" if item < 6 else "Boats"] for item in range(12)],
            }
        )
    )
    starts = [user % 2 * 6 for user in range(8)]
    return Dataset(
        name="twelve",
        catalog=catalog,
        users=[f"user{user}" for user in range(8)],
        train=Ragged.from_lists([[start, start + 1, start + 2, start + 3] for start in starts]),
        validation=Ragged.from_lists([[start + 4] for start in starts]),
        test=Ragged.from_lists([[start + 5] for start in starts]),
        cf=np.random.default_rng(0).standard_normal((12, 6), dtype=np.float32),
    )

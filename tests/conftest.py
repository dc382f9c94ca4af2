"""What every test may ask for."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from .forks import NEEDED

if TYPE_CHECKING:  # The process that shares the tests out runs none of them.
    from genrec.data import Dataset

# How long an example takes depends on what else the machine does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first: where several workers share the tests, none waits for another's last one."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """In a worker that has thousands of tests before it, what is imported is not looked through for garbage again."""
    if hasattr(session.config, "workerinput"):
        for module in NEEDED:
            import_module(module)
        gc.collect()
        gc.freeze()


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
def released(shared: Path) -> Callable[[str], Dataset]:
    """A released data set by its name, read once."""
    from genrec.data import Release

    return cache(lambda name: Release(name).load(shared / "data" / "setrec"))


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """See `tiny_dataset`."""
    # Here: most of what it is imported with takes seconds, and not every test needs it.
    from genrec.testing import tiny_dataset

    return tiny_dataset()

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from genrec.assets import AssetStore
from genrec.assets import shards as module
from genrec.assets.recipe import EMBEDDINGS, InShards
from genrec.data import Dataset

# See test_store.py.
FORK = multiprocessing.get_context("fork")
PARTS = 6


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD", 2)
    monkeypatch.setattr(module, "POLL", 0.01)


@dataclass(frozen=True)
class Squares(InShards):
    """A row of an item's number and its square; every shard adds a line to the log."""

    log: Path
    seconds: float = 0.0
    dies_at: int = 99

    @property
    def name(self) -> str:
        return "squares"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        return {}

    def order(self, dataset: Dataset) -> np.ndarray:
        return np.random.default_rng(0).permutation(len(dataset.catalog))

    def embed(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        with self.log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(self.seconds)
        if len(self.made()) >= self.dies_at:
            with contextlib.suppress(FileExistsError):
                self.log.with_name("one is dead").touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
        return np.stack([rows, rows**2], 1).astype(np.float32)

    def made(self) -> list[str]:
        return self.log.read_text().split()


@pytest.fixture
def expected() -> np.ndarray:
    return np.stack([np.arange(12), np.arange(12) ** 2], 1).astype(np.float32)


def hidden(store: AssetStore) -> list[str]:
    return [path.name for path in store.root.iterdir() if path.name.startswith(".") and path.suffix != ".lock"]


def test_shards_become_one_table_in_the_order_of_the_items(
    dataset: Dataset, tmp_path: Path, expected: np.ndarray
) -> None:
    store, asset = AssetStore(tmp_path / "assets"), Squares(tmp_path / "log")
    for _ in range(2):
        found = store.get(asset, dataset)[EMBEDDINGS]
        np.testing.assert_array_equal(found, expected)
        assert isinstance(found, np.memmap)
    assert len(asset.made()) == PARTS, "the second time it was there"
    np.testing.assert_array_equal(asset.build(dataset, tmp_path)[EMBEDDINGS], expected)
    assert not hidden(store), "nothing is left of the shards"


def test_after_a_kill_one_shard_is_made_again(
    dataset: Dataset, tmp_path: Path, expected: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    store, log = AssetStore(tmp_path / "assets"), tmp_path / "log"
    process = FORK.Process(target=store.get, args=(Squares(log, dies_at=4), dataset))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not store.has(Squares(log), dataset)
    np.testing.assert_array_equal(store.get(Squares(log), dataset)[EMBEDDINGS], expected)
    assert len(Squares(log).made()) == PARTS + 1
    assert "3 of 6 shards of squares are there: going on with the others" in capsys.readouterr().out
    assert not hidden(store)


def test_a_process_that_dies_leaves_its_shard_to_the_others(
    dataset: Dataset, tmp_path: Path, expected: np.ndarray
) -> None:
    store, log = AssetStore(tmp_path / "assets"), tmp_path / "log"
    sums = FORK.SimpleQueue()

    def work() -> None:
        sums.put(store.get(Squares(log, seconds=0.05, dies_at=5), dataset)[EMBEDDINGS].sum())

    processes = [FORK.Process(target=work) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(process.exitcode or 0 for process in processes) == [-signal.SIGKILL, 0]
    assert sums.get() == expected.sum()
    assert len(Squares(log).made()) == PARTS + 1
    assert not hidden(store)


def test_an_error_is_not_taken_for_the_end(dataset: Dataset, tmp_path: Path) -> None:
    class Broken(Squares):
        def embed(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
            raise FileNotFoundError("no such model")

    with pytest.raises(FileNotFoundError, match="no such model"):
        AssetStore(tmp_path / "assets").get(Broken(tmp_path / "log"), dataset)

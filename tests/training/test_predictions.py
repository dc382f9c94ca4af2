"""The file, or the folder of files, that predict writes."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from genrec.data import Dataset
from genrec.io import spool
from genrec.recommenders import ItemKNN
from genrec.training.callbacks import PredictionWriter

K = 3


def process(rank: int, size: int) -> Any:
    strategy = SimpleNamespace(broadcast=lambda value: value, barrier=lambda name: None)
    return SimpleNamespace(global_rank=rank, is_global_zero=rank == 0, world_size=size, strategy=strategy)


def lists(users: list[int]) -> dict[str, torch.Tensor]:
    rows = torch.tensor(users)
    return {
        "users": rows,
        "items": rows[:, None] % 9 + torch.arange(K),
        "scores": -torch.arange(K).expand(len(rows), K) / 2,
    }


@pytest.fixture
def module(dataset: Dataset) -> ItemKNN:
    module = ItemKNN(ks=(K,))
    module.dataset = dataset
    return module


def predict(path: Path, module: ItemKNN, *parts: list[list[int]]) -> None:
    """What processes with these batches write; the first comes last, as it waits for the others."""
    for rank in reversed(range(len(parts))):
        writer, trainer = PredictionWriter(path), process(rank, len(parts))
        writer.on_predict_start(trainer, module)
        for number, users in enumerate(parts[rank]):
            writer.on_predict_batch_end(trainer, module, lists(users), None, number)
        writer.on_predict_end(trainer, module)


def check(frame: pl.DataFrame, users: list[int], dataset: Dataset) -> None:
    assert frame.columns == ["user", "rank", "item", "title", "score"]
    assert frame["user"].to_list() == [dataset.users[user] for user in users for _ in range(K)]
    assert frame["rank"].to_list() == [1, 2, 3] * len(users)
    items = [user % 9 + place for user in users for place in range(K)]
    assert frame["item"].to_list() == [dataset.catalog.keys[item] for item in items]
    assert frame["title"].to_list() == [dataset.catalog.titles[item] for item in items]
    assert frame["score"].to_list() == [0, -0.5, -1] * len(users)


@pytest.mark.parametrize("held", [1, 2**24])
@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_one_process_writes_a_file_in_the_order_of_users(
    held: int, suffix: str, module: ItemKNN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "HELD", held)
    path, read = tmp_path / f"best{suffix}", pl.read_parquet if suffix == ".parquet" else pl.read_ndjson
    for _ in range(2):
        predict(path, module, [[5, 0], [3], [1, 7, 2]])
        check(read(path), [0, 1, 2, 3, 5, 7], module.dataset)
    assert sorted(os.listdir(tmp_path)) == [f"best.1{suffix}", f"best{suffix}"]


def test_several_processes_write_one_data_set(
    module: ItemKNN, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "best.parquet"
    for _ in range(2):
        predict(path, module, [[4, 0], [2]], [[5], [3, 1]])
        assert sorted(os.listdir(path)) == ["part-00000.parquet", "part-00001.parquet"]
        check(pl.scan_parquet(path).collect(), [0, 2, 4, 1, 3, 5], module.dataset)
    assert f"wrote the best 3 items of 3 users to {path}/part-00001.parquet" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path)) == ["best.1.parquet", "best.parquet"], "the older one is kept"


def test_lists_are_put_down_as_they_come(module: ItemKNN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "HELD", 200)
    writer, most = PredictionWriter(tmp_path / "best.parquet"), 0
    writer.on_predict_start(process(0, 1), module)
    for number in range(50):
        writer.on_predict_batch_end(process(0, 1), module, lists([number % 8]), None, number)
        most = max(most, sum(frame.estimated_size() for frame in writer._spool._held))
    assert most < 200
    assert len(list(writer._spool.folder.iterdir())) > 2
    writer._temporary.cleanup()


def test_keys_of_users_are_those_of_their_rows(module: ItemKNN, tmp_path: Path) -> None:
    users = np.random.default_rng(0).permutation(8).tolist()
    predict(tmp_path / "best.parquet", module, [users[:3], users[3:]])
    check(pl.read_parquet(tmp_path / "best.parquet"), list(range(8)), module.dataset)

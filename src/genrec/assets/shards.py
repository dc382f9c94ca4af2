"""Tables of embeddings that are made in shards: by all processes that ask for them, after a kill from where they were.

The shards lie in a folder of their own until the last is there, each in a file that is whole or not there. A process
takes the next one that nobody else is at; who dies lets go of it. Nobody waits for another process but by looking at
the folder, so no collective of a training lasts as long as the encoding.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from genrec.assets.recipe import InShards
from genrec.data import Dataset
from genrec.io.progress import Progress

SHARD = 2048
"""Rows of a shard: what is done again, by each process, after a kill."""
POLL = 0.5
"""Seconds between looking whether others are done."""
ORDER = "order.npy"


def make_shards(asset: InShards, dataset: Dataset, folder: Path, made: Callable[[], bool] = lambda: False) -> None:
    """Make the shards that are missing, and wait for those that other processes are at.

    Args:
        asset: what is made.
        dataset: of what.
        folder: where the shards are, and stay.
        made: whether another process has put them together; it may clear them away then.
    """
    try:
        order = _order(asset, dataset, folder)
        parts = -(-len(order) // SHARD)
        there = parts - len(_missing(folder, parts))
        if there:
            print(f"{there:,} of {parts:,} shards of {asset.name} are there: going on with the others")
        progress = Progress(len(order))
        while not made() and (missing := _missing(folder, parts)):
            taken = [part for part in missing if _make(asset, dataset, folder, part, order, made, progress)]
            if not taken:
                time.sleep(POLL)
    except FileNotFoundError:
        if not made():
            raise


def join_shards(folder: Path, path: Path) -> None:
    """Put the shards together as one array float32 [N, d], the rows in the order of the items."""
    order = np.load(folder / ORDER)
    table = None
    for part in range(-(-len(order) // SHARD)):
        rows = np.load(_file(folder, part))
        if table is None:
            table = np.lib.format.open_memmap(path, "w+", np.float32, (len(order), rows.shape[1]))
        table[order[part * SHARD : (part + 1) * SHARD]] = rows
    assert table is not None, "a catalogue has items"
    table.flush()


def _order(asset: InShards, dataset: Dataset, folder: Path) -> np.ndarray:
    """The rows in the order in which they are cut into shards; it is found out once."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "order.lock"):
        if not (folder / ORDER).exists():
            print(f"building {asset.name} of {dataset.name} ...")
            _save(folder / ORDER, asset.order(dataset))
    return np.load(folder / ORDER, mmap_mode="r")


def _make(
    asset: InShards,
    dataset: Dataset,
    folder: Path,
    part: int,
    order: np.ndarray,
    made: Callable[[], bool],
    progress: Progress,
) -> bool:
    """Make one shard, unless it is there or another process is at it."""
    lock = FileLock(folder / f"{part}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    try:
        if _file(folder, part).exists() or made():
            return False
        rows = np.array(order[part * SHARD : (part + 1) * SHARD])
        _save(_file(folder, part), asset.embed(dataset, rows))
    finally:
        lock.release()
    progress.add(len(rows))
    return True


def _file(folder: Path, part: int) -> Path:
    return folder / f"{part}.npy"


def _missing(folder: Path, parts: int) -> list[int]:
    return [part for part in range(parts) if not _file(folder, part).exists()]


def _save(path: Path, array: np.ndarray) -> None:
    """Write a whole file or nothing, also when the process is killed in the middle."""
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    np.save(unfinished, array, allow_pickle=False)
    os.replace(unfinished, path)

"""Ranking a batch of users over a large memory-mapped table: seconds and memory, beside a plain matrix product.

    python benchmarks/rank_scale.py [--items 10000000] [--users 256] [--width 512] [--half] [--rounds 3]
                                    [--threads 2] [--folder DIR] [--tiny]

The table, float32 normal numbers (float16 with ``--half``), is written to a file of 4 (2) bytes a number, which needs
that much disk, 20 GB as it stands, and is deleted at the end. Everything is done in turn, ``--rounds`` times; the
medians count, that of the rates among them, each of which is of one round. ``plain product`` is ``users @ items.T`` of
a million items at a time, into memory that is there already: what comes out is not kept, and nobody is ranked. The
rankings are the best ten

- among all items;
- among all, among nine in ten (a list of rows) and among the last tenth (a run of rows);
- among the same three, for ten weights of a sum of two products, those of a fifth and of the rest of the numbers.

``memory`` is the largest growth of the process's anonymous memory meanwhile (``RssAnon`` of ``/proc/self/status``,
looked at every 10 ms): pages of the mapped file are the table, and none of it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genrec.decoding.grounding import inner_products, items_at_once, top_k_of_each, top_products

K = 10
WEIGHTS = [number / 10 for number in range(1, 11)]
WRITTEN = 2**18
"""Rows that are written at once."""
MULTIPLIED = 2**20
"""Rows that are multiplied at once."""


def write(path: Path, items: int, width: int, kind: type[np.floating]) -> None:
    """The same numbers, whatever the kind."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for start in range(0, items, WRITTEN):
            rows = rng.standard_normal((min(WRITTEN, items - start), width), dtype=np.float32)
            rows.astype(kind, copy=False).tofile(file)


def anonymous() -> int:
    """Bytes that this process holds and no file does."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 2**10


@contextmanager
def watched() -> Iterator[list[int]]:
    """What is held beyond what was held before, whenever it is looked at."""
    before, seen, done = anonymous(), [0], threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            seen.append(anonymous() - before)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def product(users: Tensor, items: Tensor, room: Tensor) -> None:
    for start in range(0, len(items), MULTIPLIED):
        part = items[start : start + MULTIPLIED].float()
        torch.mm(users, part.T, out=room[:, : len(part)])


def weighted(users: Tensor, items: Tensor, allowed: Tensor) -> None:
    first = users.shape[1] // 5

    def scores(start: int, stop: int) -> Iterator[Tensor]:
        part = items[start:stop]
        one, other = (
            inner_products(users[:, :first], part[:, :first]),
            inner_products(users[:, first:], part[:, first:]),
        )
        return (torch.lerp(one, other, weight) for weight in WEIGHTS)

    top_k_of_each(scores, items_at_once(users, len(items)), allowed, K)


@torch.inference_mode()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the file is made (and deleted)")
    parser.add_argument("--tiny", action="store_true", help="a thousand items, to see that it runs")
    options = parser.parse_args(arguments)
    items, users, width = (1_000, 4, 20) if options.tiny else (options.items, options.users, options.width)
    torch.set_num_threads(options.threads)
    kind = np.float16 if options.half else np.float32

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "table"
        write(path, items, width, kind)
        # Private to this process, so that torch may believe that it can be written to.
        table = torch.from_numpy(np.memmap(path, kind, "c", shape=(items, width)))
        asked = torch.randn(users, width, generator=torch.Generator().manual_seed(0))
        everything = torch.ones(1, items, dtype=torch.bool)
        sets = torch.ones(3, items, dtype=torch.bool)
        sets[1] = torch.rand(items, generator=torch.Generator().manual_seed(0)) < 0.9
        sets[2, : -(items // 10)] = False
        room = torch.empty(users, min(MULTIPLIED, items))
        room.fill_(0)
        tasks: dict[str, Callable[[], object]] = {
            "plain product": partial(product, asked, table, room),
            "all items": partial(top_products, asked, table, everything, K),
            "three candidate sets": partial(top_products, asked, table, sets, K),
            "three candidate sets, ten weights": partial(weighted, asked, table, sets),
        }
        seconds: dict[str, list[float]] = {name: [] for name in tasks}
        held: dict[str, int] = dict.fromkeys(tasks, 0)
        for _ in range(options.rounds):
            for name, task in tasks.items():
                with watched() as seen:
                    start = time.perf_counter()
                    task()
                    seconds[name].append(time.perf_counter() - start)
                held[name] = max(held[name], *seen)
        report(f"{users} users, {items:,} items x {width} {table.dtype}, {options.threads} threads", seconds, held)


def report(title: str, seconds: dict[str, list[float]], held: dict[str, int]) -> None:
    print(f"{title}, torch {torch.__version__}\n")
    print("| what | seconds | of the product's rate | memory, MiB |\n| --- | ---: | ---: | ---: |")
    plain = seconds["plain product"]
    for name, taken in seconds.items():
        rate = statistics.median(one / other for one, other in zip(plain, taken, strict=True))
        print(f"| {name} | {statistics.median(taken):.2f} | {rate:.2f} | {held[name] / 2**20:,.0f} |", flush=True)


if __name__ == "__main__":
    main()

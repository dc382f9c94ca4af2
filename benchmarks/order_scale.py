"""Seconds and memory of the order of an epoch and of its batches, for large logs.

    python benchmarks/order_scale.py [--millions 10 30 100 500] [--batch-size 256] [--folder DIR]

The log is made up, its arrays are files that are mapped: a user has ten training items on average, some have hundreds;
20 are looked at. Every size is measured in a process of its own. Memory is what the operating system counts, beyond
what the process had before there was a data module: what it has for itself, and the pages of the log that all share.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy.lib.format import open_memmap

MEAN = 10
ITEMS = 1_000_000
BLOCK = 5_000_000
BATCHES = 500
"""Of a loader, until its speed is known."""
ROWS = {
    "samples": "samples",
    "private": "private bytes per sample",
    "private peak": "the same at the most",
    "shared": "shared MiB of the log",
    "first": "seconds to the first batch",
    "epoch": "seconds to the first draw of the next epoch",
    "resume": "seconds to the first draw of half an epoch",
    "others": "the same with other batches",
    "ranking": "seconds to the first batch of a validation",
    "rate": "samples a second",
}


def generate(folder: Path, interactions: int) -> None:
    """Users' items, drawn in blocks: what a user takes is more often one of the first."""
    rng = np.random.default_rng(0)
    offsets = open_memmap(folder / "offsets.npy", "w+", np.int64, (interactions // MEAN + 1,))
    lengths = (2 + rng.pareto(1.8, len(offsets) - 1) * 6.4).astype(np.int64)
    offsets[1:] = np.minimum(np.cumsum(lengths), interactions)
    offsets[-1] = interactions
    values = open_memmap(folder / "values.npy", "w+", np.int32, (interactions,))
    for start in range(0, interactions, BLOCK):
        block = values[start : start + BLOCK]
        block[:] = ITEMS * rng.random(len(block)) ** 3
    offsets.flush()
    values.flush()


def memory(name: str) -> int:
    """Bytes of this process, of a kind that the kernel tells."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def measure(folder: Path, batch_size: int) -> dict[str, float]:
    from genrec.data import InMemory, Ragged, SequenceData
    from genrec.data.samplers import BalancedByLength, Leg

    values, offsets = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("values", "offsets"))
    users = len(offsets) - 1
    train = Ragged(values, offsets)
    once = Ragged(values[:users], np.arange(users + 1))
    dataset = SimpleNamespace(
        name="made up", train=train, validation=once, test=once, notes={}, targets=lambda split: once
    )
    private, shared = memory("RssAnon"), memory("RssFile")

    start = time.perf_counter()
    data = SequenceData(InMemory(dataset), batch_size=batch_size, max_history=20, seed=0)  # type: ignore[arg-type]
    loader = data.train_dataloader()
    batches = iter(loader)
    next(batches)
    found = {"first": time.perf_counter() - start, "samples": len(loader.dataset)}  # type: ignore[arg-type]

    start = time.perf_counter()
    users = sum(len(batch.users) for batch in islice(batches, BATCHES))
    found["rate"] = users / (time.perf_counter() - start)
    found["private"] = (memory("RssAnon") - private) / found["samples"]
    found["shared"] = (memory("RssFile") - shared) / 2**20
    batches.close()  # type: ignore[attr-defined]

    sampler = loader.sampler
    assert isinstance(sampler, BalancedByLength)
    sampler.set_epoch(1)
    found["epoch"] = seconds_to_one(iter(sampler))
    half = len(sampler) // 2
    start = time.perf_counter()
    sampler.resume(1, [Leg(sampler.geometry, half)])
    found["resume"] = time.perf_counter() - start + seconds_to_one(iter(sampler))
    start = time.perf_counter()
    sampler.resume(1, [Leg(sampler.geometry._replace(batch_size=2 * batch_size), half // 2)])
    found["others"] = time.perf_counter() - start + seconds_to_one(iter(sampler))
    found["private peak"] = (memory("VmHWM") - memory("RssFile") - private) / found["samples"]
    start = time.perf_counter()
    next(iter(data.val_dataloader()))
    found["ranking"] = time.perf_counter() - start
    return found


def seconds_to_one(draws: Iterator[object]) -> float:
    start = time.perf_counter()
    next(draws)
    return time.perf_counter() - start


def shown(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", nargs="+", type=float, default=[10, 30, 100, 500])
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--folder", type=Path, help="where the log is made (and deleted)")
    parser.add_argument("--tiny", action="store_true", help="a log of some thousands")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.batch_size)))
        return
    sizes = [0.02] if args.tiny else args.millions
    columns = []
    for millions in sizes:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            generate(Path(folder), int(millions * 1e6))
            command = [sys.executable, __file__, "--measure", folder, "--batch-size", str(args.batch_size)]
            columns.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    print(f"| batches of {args.batch_size} | {' | '.join(f'{size:g} M interactions' for size in sizes)} |")
    print(f"| --- |{' ---: |' * len(sizes)}")
    for key, name in ROWS.items():
        print(f"| {name} | {' | '.join(f'{shown(column[key])}' for column in columns)} |")


if __name__ == "__main__":
    main()

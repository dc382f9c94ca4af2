"""Seconds and memory of naming a large catalogue: LETTER's repair, TIGER's and SemID's numbers, CID's tree.

    python benchmarks/names_scale.py [--items 100000 1000000] [--what repair tiger semid graph tree cid] [--tiny]

The catalogue is made up: codes fall into crowded regions, every item has three of 2,000 categories, and there are ten
interactions for every item, by users who take fifty each, near each other. Each cell is a process of its own; memory is
its largest resident set, by the system's count, Python and torch included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

LEVELS, SIZE, DIM = 4, 256, 32
EACH, LENGTH = 10, 50
"""Interactions of an item, and of a user."""


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def repair(items: int) -> float:
    import torch

    from genrec.assets.codes.repair import assign, spread
    from genrec.assets.codes.rqvae import quantize

    torch.manual_seed(0)
    codebooks = torch.randn(LEVELS, SIZE, DIM) * 0.5 ** torch.arange(LEVELS)[:, None, None]
    centers = torch.randn(items // 8, DIM)
    latents = centers[torch.randint(len(centers), (items,))] + 0.05 * torch.randn(items, DIM)
    codes = torch.cat([quantize(part, codebooks).codes for part in latents.split(2**16)])
    seconds, found = timed(lambda: assign(spread(codes, latents, codebooks, 0.003), latents, codebooks))
    assert len(np.unique(found.numpy(), axis=0)) == items
    return seconds


def tiger(items: int) -> float:
    import torch

    from genrec_baselines import TIGER

    codes = np.random.default_rng(0).integers(40, size=(items, 3))
    method = TIGER()
    method.names.words = 0
    assets: Any = SimpleNamespace(codes=lambda recipe: torch.from_numpy(codes))
    return timed(lambda: method.name_items(SimpleNamespace(), assets, np.empty((0, 0), np.int64)))[0]  # type: ignore[arg-type]


def semid(items: int) -> float:
    import polars as pl

    from genrec.data import Catalog
    from genrec_baselines import SemID

    rng = np.random.default_rng(0)
    names = np.array([f"Kind {number}" for number in range(2_000)])
    listed = pl.Series(names[np.sort(rng.integers(2_000, size=(items, 3)))]).arr.to_list()
    catalog = Catalog(pl.DataFrame({"item": pl.int_range(items, eager=True).cast(pl.String), "categories": listed}))
    method, assets = SemID(), SimpleNamespace()
    method.names.words = 0

    def name() -> None:
        method.new_tokens(catalog, assets)  # type: ignore[arg-type]
        method.name_items(catalog, assets, np.empty((0, 0), np.int64))  # type: ignore[arg-type]

    return timed(name)[0]


def lists(items: int) -> Any:
    """What users took: items near each other."""
    from genrec.data import Ragged

    rng = np.random.default_rng(0)
    users = items * EACH // LENGTH
    near = rng.integers(items, size=(users, 1)) + (rng.standard_normal((users, LENGTH)) * 200).astype(np.int64)
    return Ragged((near % items).ravel(), np.arange(users + 1) * LENGTH)


def graph(items: int) -> float:
    from genrec.assets.clusters import cooccurrences

    taken = lists(items)
    return timed(lambda: cooccurrences(taken, items))[0]


def tree(items: int) -> float:
    from genrec.assets.clusters import cluster_paths, cooccurrences

    found = cooccurrences(lists(items), items)
    return timed(lambda: cluster_paths(found, 20, 500, 0))[0]


def cid(items: int) -> float:
    from genrec_baselines import CID

    rng = np.random.default_rng(0)
    paths = np.full((items, 4), -1)
    paths[:, :3] = np.sort(np.arange(items) // 400)[:, None] // np.array([10_000, 100, 1]) % 500
    paths[rng.random(items) < 0.1] = -1
    method = CID()
    method.names.words = 0
    assets: Any = SimpleNamespace(built=lambda recipe: {"paths": paths}, seeded=lambda recipe: recipe)

    def name() -> None:
        method.new_tokens(range(items), assets)  # type: ignore[arg-type]
        method.name_items(range(items), assets, np.empty((0, 0), np.int64))  # type: ignore[arg-type]

    return timed(name)[0]


CELLS = {"repair": repair, "tiger": tiger, "semid": semid, "graph": graph, "tree": tree, "cid": cid}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", nargs="+", type=int, default=[100_000, 1_000_000])
    parser.add_argument("--what", nargs="+", choices=list(CELLS), default=list(CELLS))
    parser.add_argument("--tiny", action="store_true", help="2,000 items, in this process")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        seconds = CELLS[args.what[0]](args.items[0])
        print(json.dumps({"seconds": seconds, "GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
        return
    print("| what | items | seconds | GiB |\n| --- | ---: | ---: | ---: |")
    for items in [2_000] if args.tiny else args.items:
        for what in args.what:
            if args.tiny:
                print(f"| {what} | {items:,} | {CELLS[what](items):.2f} | - |")
                continue
            command = [sys.executable, __file__, "--one", "--items", str(items), "--what", what]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found = json.loads(out.splitlines()[-1])
            print(f"| {what} | {items:,} | {found['seconds']:.1f} | {found['GiB']:.2f} |", flush=True)


if __name__ == "__main__":
    main()

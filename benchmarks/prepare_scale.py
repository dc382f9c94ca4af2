"""Seconds and peak memory of preparing a large raw category (Amazon 2014's format), at several sizes.

    python benchmarks/prepare_scale.py [--millions 1 2 5] [--items 200000] [--folder DIR]

The raw files are generated: popularity falls as in real shops, a review has 300 characters of text, an item a title, a
brand, categories, a description and ``related`` lists. Each size is prepared by a process of its own.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

EVENTS = 10
"""Reviews of a user."""
TEXT = "It does what it says on the box and then some more, which is more than I hoped for. " * 4


def generate(folder: Path, millions: float, items: int) -> None:
    rng = np.random.default_rng(0)
    total = int(millions * 1e6)
    popularity = 1 / np.arange(10, items + 10) ** 0.6
    taken = rng.choice(items, total, p=popularity / popularity.sum())
    days = rng.integers(11_000, 16_000, total) * 86_400
    with gzip.open(folder / "reviews_Large_5.json.gz", "wt", compresslevel=1) as file:
        for row, (item, day) in enumerate(zip(taken.tolist(), days.tolist(), strict=True)):
            user = f"A{row % (total // EVENTS):012}"
            file.write(
                f'{{"reviewerID": "{user}", "asin": "B{item:09}", "reviewerName": "N", "helpful": [0, 0], '
                f'"reviewText": "{TEXT[:300]}", "overall": 5.0, "summary": "Good", "unixReviewTime": {day}}}\n'
            )
    with gzip.open(folder / "meta_Large.json.gz", "wt", compresslevel=1) as file:
        for item in range(items):
            related = {"also_bought": [f"B{(item + step) % items:09}" for step in range(30)]}
            record = {
                "asin": f"B{item:09}",
                "title": f"Widget number {item} with a name of some length",
                "brand": f"Brand {item % 999}",
                "categories": [["Large", f"Kind {item % 20}", f"Sort {item % 400}"]],
                "description": TEXT,
                "price": 9.99,
                "related": related,
            }
            file.write(f"{record!r}\n")


def prepare(folder: Path) -> None:
    from genrec.data import Amazon

    start = time.perf_counter()
    dataset = Amazon("Large", 2014, files=str(folder)).load(folder)
    found = {
        "seconds": time.perf_counter() - start,
        "peak GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "users": len(dataset.users),
        "items": len(dataset.catalog),
    }
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", nargs="+", type=float, default=[1, 2, 5])
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="where the files are made (and deleted)")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.prepare:
        prepare(args.prepare)
        return
    for millions in args.millions:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            generate(Path(folder), millions, args.items)
            command = [sys.executable, __file__, "--prepare", folder]
            lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
            found = json.loads(lines[-1])
            print(
                f"{millions:g} M interactions, {args.items:,} items: {found['seconds']:.0f} s, "
                f"{found['peak GiB']:.2f} GiB, {found['users']:,} users and {found['items']:,} items left",
                flush=True,
            )


if __name__ == "__main__":
    main()

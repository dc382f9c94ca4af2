"""Minutes and memory of preparing a long log, and of starting again: a table of Markdown.

    python benchmarks/prepare_scale.py [--millions 10 30 100] [--items 1000000] [--endings parquet csv] [--folder DIR]
    python benchmarks/prepare_scale.py --tiny

The logs are made up: popularity falls as in shops (Zipf), a user has about twenty interactions, keys are texts. Each is
prepared by a process of its own, found again by another, then by two at once. Memory is what the operating system
counted: the peak of a process (``ru_maxrss``, which has the pages of mapped files in it), what is its own
(``RssAnon``), and its share of what several have (``Pss``).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

EVENTS = 20
"""Interactions of a user."""
ZIPF = 0.8
"""Popularity falls as rank to this power."""
CHUNK = 1_000_000
YEAR = 365 * 24 * 3600


def generate(file: Path, rows: int, items: int) -> None:
    """Write a log, a chunk at a time, in the order of time as logs are."""
    rng = np.random.default_rng(0)
    popular = np.cumsum(np.arange(10.0, items + 10) ** -ZIPF)
    ranks = rng.permutation(items)
    users = max(rows // EVENTS, 1)
    writer: pq.ParquetWriter | None = None
    with file.open("wb") as text:
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            taken = ranks[np.searchsorted(popular, rng.random(count) * popular[-1], side="right")]
            moment = np.sort(rng.random(count)) * count + start
            numbers = {"user": rng.integers(users, size=count), "item": taken}
            frame = pl.DataFrame({**numbers, "timestamp": (1_400_000_000 + moment * YEAR / rows).astype(np.int64)})
            letters = {"user": "A", "item": "B"}
            frame = frame.with_columns(
                (pl.lit(letter) + pl.col(name).cast(pl.String).str.zfill(10)).alias(name)
                for name, letter in letters.items()
            )
            if file.suffix == ".csv":
                frame.write_csv(text, include_header=start == 0)
                continue
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(text, pa.schema(table.schema))
            writer.write_table(table)
        if writer:
            writer.close()


def kept(field: str, file: str = "status") -> float:
    """MiB that the system counts for this process."""
    lines = Path(f"/proc/self/{file}").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def load(file: Path, wait: bool) -> None:
    """Prepare, or find again; what was measured is printed as json, once a line came where two are to be measured."""
    start = time.perf_counter()
    from genrec.data import Table

    imported = time.perf_counter()
    dataset = Table(file.name).load(file.parent)
    ready = time.perf_counter()
    own = kept("RssAnon")
    lists = [dataset.train, dataset.validation, dataset.test]
    total = sum(int(array.sum()) for part in lists for array in (part.values, part.offsets))  # every page is touched
    if wait:
        print("ready", flush=True)
        sys.stdin.readline()
    found = {
        "import": imported - start,
        "load": ready - imported,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "anonymous": own,
        "resident": kept("VmRSS"),
        "share": kept("Pss", "smaps_rollup"),
        "users": len(dataset.users),
        "items": len(dataset.catalog),
        "interactions": sum(len(part.values) for part in lists),
        "sum": total,
    }
    print(json.dumps(found), flush=True)


def child(file: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--load", str(file), *more]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> dict[str, float]:
    said, _ = process.communicate("\n")
    if process.returncode:
        raise SystemExit(process.returncode)
    return json.loads(said.splitlines()[-1])


def measure(folder: Path, millions: float, items: int, ending: str) -> str:
    """A line of the table: prepared, found again, and found by two at once."""
    file = folder / f"log.{ending}"
    generate(file, int(millions * 1e6), items)
    made, again = result(child(file)), result(child(file))
    pair = [child(file, "--wait") for _ in range(2)]
    for process in pair:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "ready":
            pass
    one, other = map(result, pair)
    assert again["sum"] == made["sum"], "what is found again is what was made"
    cells = (
        f"{millions:g} M, {ending} ({file.stat().st_size / 2**30:.2f} GiB)",
        f"{made['users']:,.0f} / {made['items']:,.0f} / {made['interactions']:,.0f}",
        f"{made['load'] / 60:.2f}",
        f"{made['load'] / millions:.2f}",
        f"{made['peak'] / 1024:.2f}",
        f"{again['import']:.1f} + {again['load']:.2f}",
        f"{again['anonymous']:,.0f}",
        f"{again['resident']:,.0f}",
        f"{one['share']:,.0f} + {other['share']:,.0f}",
    )
    return f"| {' | '.join(cells)} |"


HEADER = (
    "log",
    "users / items / interactions left",
    "minutes",
    "seconds a million",
    "peak GiB (ru_maxrss)",
    "again: s to import + s",
    "its own MiB (RssAnon)",
    "MiB once all is read (RSS)",
    "two at once: MiB each (Pss)",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", nargs="+", type=float, default=[10, 30, 100])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--endings", nargs="+", choices=("parquet", "csv"), default=["parquet"])
    parser.add_argument("--folder", type=Path, help="where the files are made (and deleted)")
    parser.add_argument("--tiny", action="store_true", help="a thousandth of it, to see that it runs")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--wait", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.load:
        load(args.load, args.wait)
        return
    if args.tiny:
        args.millions, args.items = [0.02], 500
    print(f"| {' | '.join(HEADER)} |\n|{' --- |' * len(HEADER)}", flush=True)
    for ending in args.endings:
        for millions in args.millions:
            with tempfile.TemporaryDirectory(dir=args.folder) as folder:
                print(measure(Path(folder), millions, args.items, ending), flush=True)


if __name__ == "__main__":
    main()

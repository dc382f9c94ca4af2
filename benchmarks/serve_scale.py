"""Recommending to many users at once: time for a thousand of them, and memory, as they become more.

    python -m benchmarks.serve_scale [--users 1000 10000 100000] [--items 2000] [--threads 2] [--tiny]

An untrained SETRec of a small T5 (width 32, one layer) recommends ten items of a made-up shop to users whose histories,
2 to 60 items of Zipfian popularity, are drawn while they are asked for. ``frame`` is `Served.recommend`, which takes a
list and returns one frame; ``stream`` is `Served.recommend_batches`, whose frames are counted and let go; ``file`` is
``genrec recommend --histories``, from a parquet file into another, part by part. ``memory`` is the largest growth of
the process's anonymous memory meanwhile, that of the list of histories and of the frame included (``frame MiB``, as
polars counts it).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import torch

from benchmarks.rank_scale import watched
from genrec import Served
from genrec.assets import Assets, TfidfText
from genrec.backbones import T5Backbone
from genrec.data import SequenceData, Synthetic
from genrec.identifiers import SETRec
from genrec.io.spool import write_frames
from genrec.recommenders import Recommender
from genrec.recommenders.alone import set_up
from genrec.serving.batch import Batch

T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 4}
K = 10


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    items, counts = (120, [40, 80]) if options.tiny else (options.items, options.users)
    with TemporaryDirectory() as folder:
        served = made(items, Path(folder))
    served.recommend(list(histories(served, 500)), K)
    print(f"{items:,} items, {options.threads} threads, ten items a user\n")
    heads = [f"{way}: {what}" for way in ("stream", "file", "frame") for what in ("s per 1,000", "memory MiB")]
    print(f"| users | {' | '.join(heads)} | frame MiB |")
    print(f"| --- |{' --- |' * (len(heads) + 1)}")
    for users in counts:
        cells = []
        with watched() as streamed:
            start = time.perf_counter()
            rows = sum(len(frame) for frame in served.recommend_batches(histories(served, users), K))
            cells += [f"{1e3 * (time.perf_counter() - start) / users:.2f}"]
        seconds, memory = of_a_file(served, users)
        cells += [f"{max(streamed) / 2**20:,.0f}", f"{seconds:.2f}", f"{memory / 2**20:,.0f}"]
        with watched() as kept:
            start = time.perf_counter()
            frame = served.recommend(list(histories(served, users)), K)
            seconds = 1e3 * (time.perf_counter() - start) / users
        assert rows == len(frame) == K * users
        size = frame.estimated_size("mb")
        cells += [f"{seconds:.2f}", f"{max(kept) / 2**20:,.0f}", f"{size:,.1f}"]
        print(f"| {users:,} | {' | '.join(cells)} |", flush=True)


def made(items: int, folder: Path) -> Served:
    """The recommender."""
    torch.manual_seed(0)
    identifier = SETRec(n_semantic=2, use_cf=False)
    model = Recommender(identifier, T5Backbone(sizes=dict(T5)), Assets(text=TfidfText(dim=8), root=str(folder)))
    data = SequenceData(Synthetic(users=200, items=items), root=str(folder))
    set_up(model, data)
    return Served(model, data, {})


def of_a_file(served: Served, users: int) -> tuple[float, int]:
    """Seconds for a thousand users of a file, and the largest growth of memory."""
    with TemporaryDirectory() as folder:
        source, output = Path(folder) / "histories.parquet", Path(folder) / "best.parquet"
        some = iter(histories(served, users))
        write_frames(source, (pl.DataFrame({"history": part}) for part in iter(lambda: list(islice(some, 2**14)), [])))
        with watched() as grown:
            start = time.perf_counter()
            assert Batch(served, source, output, K, None, False, False).run() == K * users
            seconds = 1e3 * (time.perf_counter() - start) / users
    return seconds, max(grown)


def histories(served: Served, users: int) -> Iterator[list[str]]:
    """The same ones every time."""
    draw, keys = np.random.default_rng(0), np.array(list(served.catalog.keys), object)
    chances = 1 / np.arange(1, len(keys) + 1)
    for _ in range(users):
        yield draw.choice(keys, draw.integers(2, 61), p=chances / chances.sum()).tolist()


if __name__ == "__main__":
    main()

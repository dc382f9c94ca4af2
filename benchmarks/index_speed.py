"""What an index of items gains and loses: recall, time and memory, for every kind.

    python benchmarks/index_speed.py [RUN] [--items 1000000] [--width 640] [--kinds exact ivf hnsw ivf_pq]
        [--recall 0.995] [--threads 2] [--seed 0] [--data DIR] [--scratch DIR] [--tiny]

The items are those of a run, and items made of them at random by adding normal noise of 0.3 of every dimension's
standard deviation; its test users search. Without a run both are made up, as a trained SETRec has them: clusters of
very different sizes around centres that lie in groups themselves, in 96 dimensions of falling weight (SETRec's 640
numbers on Toys have an effective rank of 98) with a little noise in all others, and lengths that differ by a sixth.
Users are near items.

The vectors are a map of a file in the scratch folder. ``recall@10`` is the share of the true best ten, for users other
than those that the index was tuned on for ``--recall``. ``ms`` is the median of a user's search alone, ``ms of 256``
that of one of 256 who are searched for together; both without the language model. ``faiss MiB`` is the index as faiss
writes it, ``held MiB`` what the process has more than before by the system's own count of its memory (without maps),
``kept MiB`` the file that the index is found again by, ``found s`` how long that takes.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import faiss
import numpy as np
import torch
from torch import Tensor

from genrec import load
from genrec.decoding.vector_index import Kind, Tuned, VectorIndex
from genrec.serving import kept_index
from genrec.serving.indexing import Indexing

K, TOGETHER, ALONE = 10, 256, 100
NOISE = 0.3
PART = 50_000
RANK = 96


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--kinds", nargs="+", choices=get_args(Kind), default=get_args(Kind))
    parser.add_argument("--recall", type=float, default=0.995)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data")
    parser.add_argument("--scratch")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    items, width = (1000, 16) if options.tiny else (options.items, options.width)
    with TemporaryDirectory(dir=options.scratch) as scratch:
        file = Path(scratch) / "items"
        if options.run:
            own, users = of_run(options.run, options.data, options.seed)
            width, parts = own.shape[1], enlarged(own, items, options.seed)
        else:
            parts, users = made_up(items, width, options.seed)
        table = np.memmap(file, np.float32, "w+", shape=(items, width))
        start = 0
        for part in parts:
            table[start : start + len(part)] = part
            start += len(part)
        table.flush()
        del table
        vectors = torch.from_numpy(np.memmap(file, np.float32, "c", shape=(items, width)))
        source = options.run or "made up"
        print(f"{items:,} items of {width} numbers ({source}), {4 * items * width / 2**20:,.0f} MiB; seed", end=" ")
        print(f"{options.seed}, {options.threads} threads, tuned for a recall of {options.recall}\n")
        columns = "index,effort,candidates,recall@10,ms,ms of 256,build s,tune s,faiss MiB,held MiB,kept MiB,found s"
        print(f"| {columns.replace(',', ' | ')} |\n|{' --- |' * (columns.count(',') + 1)}")
        for kind in options.kinds:
            measure(vectors, users, kind, options.recall, Path(scratch))


def of_run(run: Path, data: str | None, seed: int) -> tuple[Tensor, Tensor]:
    """The items' vectors, and some of the test users'."""
    served = load(run, data)
    indexing, dataset = Indexing(served.model, served.data), served.dataset
    known = dataset.train.join(dataset.validation)
    asked = np.flatnonzero(dataset.test.lengths)
    chosen = np.random.default_rng(seed).permutation(asked)[: 2 * TOGETHER]
    histories = known.windows(chosen, known.lengths[chosen], served.data.max_history)
    users = torch.cat([indexing.users(part) for part in torch.from_numpy(histories).split(50)])
    return indexing.items().clone(), users


def enlarged(items: Tensor, count: int, seed: int) -> Iterator[Tensor]:
    """The items, and as many noisy copies of random ones that there are `count`."""
    generator = torch.Generator().manual_seed(seed)
    scale = NOISE * items.std(0)
    yield items[:count]
    for start in range(len(items), count, PART):
        rows = torch.randint(len(items), (min(PART, count - start),), generator=generator)
        yield items[rows] + scale * torch.randn(len(rows), items.shape[1], generator=generator)


def made_up(count: int, width: int, seed: int) -> tuple[Iterator[Tensor], Tensor]:
    """Items, a part of them at a time, and users."""
    draw = np.random.default_rng(seed)
    rank, clusters = min(RANK, width), max(8, count // 200)
    weight = (1 / np.sqrt(1 + np.arange(rank) / 8)).astype(np.float32)
    groups = draw.standard_normal((max(4, clusters // 50), rank), np.float32)
    centres = groups[draw.integers(len(groups), size=clusters)]
    centres = centres + 0.7 * draw.standard_normal(centres.shape, np.float32)
    sizes = draw.pareto(1.2, clusters) + 0.2
    spread = np.linalg.qr(draw.standard_normal((width, rank)))[0].T.astype(np.float32)

    def near(rows: np.ndarray, noise: float) -> Tensor:
        inside = (centres[rows] + noise * draw.standard_normal((len(rows), rank), np.float32)) * weight
        rest = 0.1 * inside.std() * np.sqrt(rank / width) * draw.standard_normal((len(rows), width), np.float32)
        return torch.from_numpy((inside @ spread + rest).astype(np.float32))

    def parts() -> Iterator[Tensor]:
        for start in range(0, count, PART):
            rows = draw.choice(clusters, min(PART, count - start), p=sizes / sizes.sum())
            lengths = np.exp(0.15 * draw.standard_normal((len(rows), 1), np.float32))
            yield near(rows, 0.6) * torch.from_numpy(lengths)

    return parts(), near(draw.choice(clusters, 2 * TOGETHER, p=sizes / sizes.sum()), 0.8)


def measure(vectors: Tensor, users: Tensor, kind: Kind, recall: float, scratch: Path) -> None:
    """A line of the table."""
    before, start = held(), time.perf_counter()
    index = VectorIndex(vectors, kind)
    built = time.perf_counter()
    index.tune(users[::2], K, recall)
    tuned = time.perf_counter()
    asked = users[1::2]
    index.tuned = Tuned(K, recall, index.recall(asked, K))
    more = held() - before
    alone = []
    for query in asked[:ALONE].split(1):
        begun = time.perf_counter()
        index.search(query, K)
        alone.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    index.search(asked, K)
    together = (time.perf_counter() - begun) / len(asked)
    cells = ["-", "-"] if index.structure is None else [f"{index.effort:,} of {index.structure.most:,}", index.deep * K]
    cells += [f"{index.tuned.share:.4f}", f"{1e3 * np.median(alone):.2f}", f"{1e3 * together:.2f}"]
    cells += [f"{built - start:.1f}", f"{tuned - built:.1f}"]
    if index.structure is None:
        cells += ["-", f"{more:,.0f}", "-", "-"]
    else:
        faiss.write_index(index.structure.index, str(scratch / "faiss"))
        kept_index.write(scratch / "kept", index)
        sizes = [f"{(scratch / name).stat().st_size / 2**20:,.1f}" for name in ("faiss", "kept")]
        del index
        gc.collect()
        begun = time.perf_counter()
        assert kept_index.read(scratch / "kept", vectors, kind)
        cells += [sizes[0], f"{more:,.0f}", sizes[1], f"{time.perf_counter() - begun:.1f}"]
    print(f"| {kind} | {' | '.join(map(str, cells))} |", flush=True)


def held() -> float:
    """MiB of this process's own memory, by the system's count; maps of files are not among it."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1024


if __name__ == "__main__":
    main()

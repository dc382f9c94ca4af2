"""What a walk over a graph of items finds of RPG's best ten, and what it costs, against scoring every item.

    python -m benchmarks.graph_decoding [RUN] [--items 12000] [--edges 50 100 200] [--beams 20 50] [--steps 3 5]
        [--users 256] [--threads 1] [--seed 0] [--data DIR] [--tiny]

The items are those of a run of RPG, and its test users ask. Without a run both are made up: items in clusters as those
of `index_speed.py`, in 128 dimensions, become 32 digits of 256 by product quantisation, whose centres stand for the
embeddings of codes; users are near items, and their numbers are the logarithms of a softmax of cosines, as RPG's.

``recall@10`` is the share of the true best ten, ``NDCG@10`` that of the walk's list where the true best ten are right;
``looked at`` how many items a user's walk may score at most, and ``ms`` what a user of all who are ranked together
takes, without the language model. ``graph s`` is the looking up of neighbours, done once for each number of edges.
"""

from __future__ import annotations

import argparse
import time
from itertools import product
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.index_speed import made_up
from genrec import load
from genrec.decoding import top_codes
from genrec.decoding.graph import GraphSearch, ItemGraph
from genrec.losses import slot_log_probs

K, SLOTS, SIZE, WIDTH, TEMPERATURE = 10, 32, 256, 128, 0.07
SAMPLE = 30_000
"""Items that the centres are found by."""


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--edges", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--beams", type=int, nargs="+", default=[20, 50])
    parser.add_argument("--steps", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    if options.tiny:
        options.items, options.edges, options.beams, options.steps, options.users = 2000, [20], [5, 20], [3], 32
    if options.run:
        codes, tables, numbers = of_run(options.run, options.data, options.users, options.seed)
    else:
        codes, tables, numbers = codes_of(options.items, options.users, options.seed)
    allowed = torch.ones(1, len(codes), dtype=torch.bool)
    begun = time.perf_counter()
    exact = top_codes(numbers, codes, allowed, K).items[0]
    every = 1e3 * (time.perf_counter() - begun) / len(numbers)
    print(f"{len(codes):,} items ({options.run or 'made up'}), {len(numbers)} users, {options.threads} threads\n")
    columns = "edges,beams,steps,looked at,recall@10,NDCG@10,ms,graph s"
    print(f"| {columns.replace(',', ' | ')} |\n|{' --- |' * (columns.count(',') + 1)}")
    print(f"| every item | - | - | {len(codes):,} | 1.0000 | 1.0000 | {every:.2f} | - |", flush=True)
    for edges in options.edges:
        begun = time.perf_counter()
        neighbours = ItemGraph(codes, tables, GraphSearch(edges)).neighbours
        seconds = time.perf_counter() - begun
        for beams, steps in product(options.beams, options.steps):
            graph = ItemGraph(codes, tables, GraphSearch(edges, beams, steps))
            graph.neighbours = neighbours
            begun = time.perf_counter()
            found = graph.top_k(numbers, allowed, K).items[0]
            each = 1e3 * (time.perf_counter() - begun) / len(numbers)
            right = (found[:, :, None] == exact[:, None]).any(2).double()
            gain = 1 / torch.arange(2, K + 2).log2()
            ndcg = (right * gain).sum(1) / gain.sum()
            looked = f"{min(beams * edges * steps + beams, len(codes)):,}"
            cells = [edges, beams, steps, looked, f"{right.mean():.4f}", f"{ndcg.mean():.4f}", f"{each:.2f}"]
            print(f"| {' | '.join(map(str, cells))} | {seconds:.1f} |", flush=True)


def of_run(run: Path, data: str | None, users: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """The items' codes, what codes are compared by, and the numbers of some test users."""
    served = load(run, data)
    rpg: Any = served.model.identifier
    dataset = served.dataset
    known = dataset.train.join(dataset.validation)
    chosen = np.random.default_rng(seed).permutation(np.flatnonzero(dataset.test.lengths))[:users]
    histories = torch.from_numpy(known.windows(chosen, known.lengths[chosen], served.data.max_history))
    numbers = [rpg.user_scores(served.model.backbone, served.model.read(part)) for part in histories.split(64)]
    return rpg.codes, F.normalize(rpg.embeddings, dim=2), torch.cat(numbers)


def codes_of(items: int, users: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same of made-up items and users."""
    parts, near = made_up(items, WIDTH, seed)
    vectors = torch.cat(list(parts)).numpy()
    quantizer = faiss.ProductQuantizer(WIDTH, SLOTS, SIZE.bit_length() - 1)
    quantizer.cp.min_points_per_centroid = 1  # of the smallest trials
    quantizer.train(vectors[np.random.default_rng(seed).permutation(items)[:SAMPLE]])
    codes = torch.from_numpy(quantizer.compute_codes(vectors))
    centres = torch.from_numpy(faiss.vector_to_array(quantizer.centroids)).view(SLOTS, SIZE, -1)
    tables, states = F.normalize(centres, dim=2), F.normalize(near[:users].unflatten(1, (SLOTS, -1)), dim=2)
    return codes, tables, slot_log_probs(states, tables, TEMPERATURE) / SLOTS


if __name__ == "__main__":
    main()

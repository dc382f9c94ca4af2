"""What a vector index gains and loses: recall, time and memory, for the catalogue of a run and for a large one.

    python benchmarks/index_speed.py RUN [--items 1000000] [--users 100] [--seed 0] [--data DIR]

Test users are searched for one at a time: ``ms`` is the median of a user's search alone, without the language model.
``recall@10`` is the share of the true best ten that is found for them; how many lists are looked into was decided on as
many others. The large catalogue is made up: the run's items, and items made of them at random by adding normal noise of
0.3 of every dimension's standard deviation. ``MiB`` is what the index holds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genrec import load
from genrec.decoding.vector_index import InnerProducts, Kind, VectorIndex
from genrec.recommenders.recommender import Recommender
from genrec.serving.served import RECALL

K = 10
NOISE = 0.3
TOGETHER = 50


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data")
    options = parser.parse_args()
    served = load(options.run, options.data)
    model = served.model
    assert isinstance(model, Recommender)
    identifier = model.identifier
    assert isinstance(identifier, InnerProducts)

    samples = served.data.test_dataloader().dataset
    chosen = np.random.default_rng(options.seed).choice(len(samples), 2 * options.users, replace=False)  # type: ignore[arg-type]
    batches = [samples[part] for part in np.array_split(chosen, -(-len(chosen) // TOGETHER))]
    queries = torch.cat([identifier.user_vectors(model.backbone, model.read(batch.history)) for batch in batches])
    items = identifier.item_vectors()
    print(f"{options.run}: {options.users} test users, seed {options.seed}")
    print(f"{items.shape[1]} numbers per item, {torch.get_num_threads()} threads")
    print("    items         index   lists  looked into  recall@10        ms   build s      MiB")
    measure(items, queries)
    measure(enlarge(items, options.items, options.seed), queries)


def enlarge(items: Tensor, count: int, seed: int) -> Tensor:
    """The items, and as many noisy copies of random ones that there are `count`."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.empty(count, items.shape[1])
    table[: len(items)] = items
    scale = NOISE * items.std(0)
    for part in table[len(items) :].split(50_000):
        rows = torch.randint(len(items), (len(part),), generator=generator)
        part[:] = items[rows] + scale * torch.randn(part.shape, generator=generator)
    return table


def measure(items: Tensor, queries: Tensor) -> None:
    kinds: tuple[Kind, ...] = ("exact", "approximate")
    for kind in kinds:
        start = time.perf_counter()
        index = VectorIndex(items, kind)
        seconds = time.perf_counter() - start
        # The vectors; for lists also their centres, and the row of every vector.
        held = 4 * items.shape[1] * (len(items) + index.lists) + 8 * len(items) * bool(index.lists)
        index.tune(queries[::2], K, RECALL)
        asked = queries[1::2]
        taken = []
        for query in asked.split(1):
            start = time.perf_counter()
            index.search(query, K)
            taken.append(time.perf_counter() - start)
        lists = f"{index.lists:7,d} {index.probes:12,d}" if index.lists else f"{'-':>7s} {'-':>12s}"
        print(
            f"{len(items):9,d} {kind:>13s} {lists} {index.recall(asked, K):10.3f} {1e3 * np.median(taken):9.2f} "
            f"{seconds:9.1f} {held / 2**20:8,.0f}",
            flush=True,
        )
        del index


if __name__ == "__main__":
    main()

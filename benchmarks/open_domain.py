"""Whether lists for users of another data set have to do with what they took there, as far as texts can tell.

    python -m benchmarks.open_domain RUN --foreign beauty [--users 500] [--k 10] [--seed 0] [--data DIR]

Nobody knows what users of Beauty would have taken of Toys, so no list is right or wrong. What is measured is whether it
depends on its user: ``similarity`` is the mean cosine between the text embeddings of the recommended items and the mean
embedding of what the user took, ``spread`` how many different items all lists hold, as a share of what they could. A
list that fits its own user no better than another one's (``of another user``) is not about him. The items whose texts
are nearest are the most that can be had of this measure, which says nothing of their being wanted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F

from genrec import Served, load
from genrec.data import Dataset, Release
from genrec.data.catalog import KEY
from genrec.decoding import top_k


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--foreign", required=True)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data")
    options = parser.parse_args()
    served = load(options.run, options.data)
    other = Release(options.foreign).load(served.data.root)
    print(f"{options.users} users of {other.name}, whom {served.model.method} recommends {options.k} of", end=" ")
    print(f"{served.dataset.name}\n\n| lists | similarity | spread |\n| --- | --- | --- |")
    for name, (similarity, spread) in compare(served, other, options.users, options.k, options.seed).items():
        print(f"| {name} | {similarity:.3f} | {spread:.3f} |", flush=True)


@torch.inference_mode()
def compare(served: Served, other: Dataset, users: int, k: int, seed: int) -> dict[str, tuple[float, float]]:
    """Similarity and spread of the lists for some users of another data set, and of others to compare with."""
    draw, own = np.random.default_rng(seed), len(served.catalog)
    taken = other.train.join(other.validation).join(other.test)
    chosen = draw.permutation(len(taken))[:users]
    read = np.unique(np.concatenate([taken[user] for user in chosen]))
    items = other.catalog.items[read].with_columns((pl.lit(f"{other.name}:") + pl.col(KEY)).alias(KEY))
    served.add_items(items, recommend=False)
    histories = [(own + np.searchsorted(read, taken[user])).tolist() for user in chosen]
    found = served.recommend([[served.catalog.keys[row] for row in history] for history in histories], k)
    lists = torch.from_numpy(served.rows(found["item"].to_list())).view(-1, k)

    assert served.model.item_assets is not None
    texts = F.normalize(served.model.item_assets.text, dim=1)
    asked = F.normalize(torch.stack([texts[history].mean(0) for history in histories]), dim=1)
    allowed = torch.from_numpy(served.model.candidates[:own])[None]
    popular = torch.from_numpy(np.argsort(-served.dataset.frequency[:own], kind="stable")[:k].copy())
    compared = {
        served.model.method: lists,
        "of another user": lists.roll(1, 0),
        "popular": popular.expand(len(lists), -1),
        "random": torch.from_numpy(np.stack([draw.permutation(own)[:k] for _ in histories])),
        "nearest texts": top_k(asked @ texts[:own].T, allowed, k).items[0],
    }
    most = min(own, lists.numel())
    return {
        name: (float((texts[rows] * asked[:, None]).sum(2).mean()), len(rows.unique()) / most)
        for name, rows in compared.items()
    }


if __name__ == "__main__":
    main()

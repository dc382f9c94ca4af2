"""How far beam search stays behind the true best items of a trained token-sequence identifier (SETRec, Figure 3).

    python benchmarks/beam_gap.py RUN [--users 200] [--beams 5 10 20 50] [--seed 0] [--data DIR] [--plot FILE.png]

Ranks the same random test users over all items with beams of several widths, and exactly. ``same 10`` is the share of
the exact ten best that a beam finds, ``same lists`` that of users with exactly their list, ``gap`` what the tenth score
of a beam lacks, in nats. ``visited`` is the mean number of nodes of the trie that the exact search looked at. The
figure has recall and ``same 10`` over the number of beams, and the recall of the true best as a line.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from genrec import load
from genrec.data.samplers import Draw
from genrec.decoding.beam import beam_search
from genrec.decoding.exact import exact_search
from genrec.evaluation.protocol import RankingMetrics
from genrec.identifiers import TokenSequence
from genrec.identifiers.writer import TokenWriter
from genrec.recommenders.recommender import Recommender
from genrec.types import PAD, Batch, Ranking

K = 10


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--beams", type=int, nargs="+", default=[5, 10, 20, 50])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    served = load(options.run, options.data)
    model, dataset = served.model, served.dataset
    assert isinstance(model, Recommender)
    identifier = model.identifier
    assert isinstance(identifier, TokenSequence)

    samples: Any = served.data.test_dataloader().dataset
    chosen = np.random.default_rng(options.seed).choice(len(samples), options.users, replace=False)
    batches = [samples[Draw(part)] for part in np.array_split(chosen, -(-len(chosen) // 50))]
    allowed = torch.ones(1, len(dataset.catalog), dtype=torch.bool)
    visited: list[Tensor] = []

    def beams(width: int) -> Callable[[Batch], Ranking]:
        def rank(batch: Batch) -> Ranking:
            writer = TokenWriter(identifier.names, model.backbone, model.read(batch.history), "full")
            # As many items as the beam can give, and ranks that stay empty beyond.
            found = beam_search(writer, identifier.trie, allowed, min(K, width), width)
            missing = K - found.items.shape[2]
            pad = torch.nn.functional.pad
            return Ranking(pad(found.items, (0, missing), value=PAD), pad(found.scores, (0, missing), value=-torch.inf))

        return rank

    def exact(batch: Batch) -> Ranking:
        writer = TokenWriter(identifier.names, model.backbone, model.read(batch.history), "full")
        start = beam_search(writer, identifier.trie, allowed, K, 20)
        found = exact_search(writer, identifier.trie, allowed, K, start)
        visited.append(found.visited)
        return found.ranking

    results: dict[str, tuple[Tensor, Tensor, dict[str, float], float]] = {}
    for name, rank in {**{str(width): beams(width) for width in options.beams}, "exact": exact}.items():
        metrics, start = RankingMetrics(dataset.frequency, (5, K)), time.perf_counter()
        rankings = [rank(batch) for batch in batches]
        seconds = time.perf_counter() - start
        for batch, ranking in zip(batches, rankings, strict=True):
            every = Ranking(*(part.expand(len(metrics.allowed), -1, -1) for part in ranking))
            metrics.update(every, batch.targets)
        items, scores = (torch.cat([ranking[part][0] for ranking in rankings]) for part in (0, 1))
        results[name] = items, scores, metrics.compute()["all"], seconds
    best, best_scores, *_ = results["exact"]
    print(f"{options.run}: {options.users} test users, {len(dataset.catalog):,} items, seed {options.seed}")
    print(" beams   same 10   same lists      gap      R@5     R@10      N@5     N@10   seconds")
    shares = {}
    for name, (items, scores, found, seconds) in results.items():
        same = (items[:, :, None] == best[:, None, :]).any(2).double().mean()
        shares[name] = float(same)
        lists = (items == best).all(1).double().mean()
        gap = (best_scores[:, -1] - scores[:, -1]).mean()
        values = "".join(f"{found[key]:9.4f}" for key in ("recall@5", "recall@10", "ndcg@5", "ndcg@10"))
        print(f"{name:>6s} {same:9.1%} {lists:12.1%} {gap:8.3f}{values} {seconds:9.1f}")
    nodes = torch.cat(visited).double()
    print(f"visited: mean {nodes.mean():.0f}, most {nodes.max():.0f} of {len(identifier.trie):,} nodes")
    if options.plot:
        recalls = {name: found["recall@10"] for name, (_, _, found, _) in results.items()}
        plot(options.beams, recalls, shares, options.plot)


def plot(widths: list[int], recalls: dict[str, float], shares: dict[str, float], path: Path) -> None:
    """Two panels over the number of beams: recall beside that of the true best, and how many of those are found."""
    figure = Figure(figsize=(9, 3.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    recall, share = figure.subplots(1, 2)
    recall.plot(widths, [recalls[str(width)] for width in widths], marker="o", label="beam search")
    recall.axhline(recalls["exact"], linestyle="--", color="black", label="the ten best of all")
    recall.set(ylabel="Recall@10", ylim=(0, None))
    recall.legend()
    share.plot(widths, [shares[str(width)] for width in widths], marker="o")
    share.set(ylabel="share of the ten best that are found", ylim=(0, 1.05))
    for axes in (recall, share):
        axes.set_xscale("log")
        axes.set_xticks(widths, map(str, widths))
        axes.minorticks_off()
        axes.set_xlabel("beams")
    figure.savefig(path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

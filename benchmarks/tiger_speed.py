"""Training samples per second of TIGER on a small T5, told from the whole vocabulary and from the tokens of a level.

    python benchmarks/tiger_speed.py [--items 11908] [--batch 128] [--history 20] [--steps 6]

The sizes are those that public implementations are measured with: 2 + 2 layers of width 128, one thread. Codes and
titles are random: speed does not depend on them. The two ways take turns, so that a busy machine slows down both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import torch

from genrec.backbones import T5Backbone
from genrec.data import Catalog
from genrec.identifiers import Search
from genrec.recommenders.prompts import Prompt
from genrec_baselines import TIGER

SIZES = {"d_model": 128, "d_kv": 32, "d_ff": 512, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}


class Model:
    def __init__(self, items: int, normalize: Any) -> None:
        torch.manual_seed(0)
        letters = np.random.default_rng(0).integers(97, 123, (items, 12), dtype=np.uint8)
        titles = [row.tobytes().decode() for row in letters]
        catalog = Catalog(pl.DataFrame({"item": range(items), "title": titles}))
        codes = torch.randint(256, (items, 3))
        assets: Any = SimpleNamespace(codes=lambda recipe: codes)
        self.prompt = Prompt()
        self.backbone = T5Backbone(sizes=dict(SIZES))
        self.backbone.setup(catalog.titles, self.prompt.texts)
        self.prompt.setup(self.backbone)
        self.tiger = TIGER(search=Search(normalize=normalize))
        self.tiger.setup(catalog, assets, self.backbone)
        modules = torch.nn.ModuleList([self.backbone, self.tiger])
        self.optimizer = torch.optim.AdamW(modules.parameters(), lr=1e-3)

    def step(self, items: torch.Tensor) -> float:
        start = time.perf_counter()
        context = self.prompt(self.backbone, self.tiger.embed(items[:, :-1]))
        self.tiger.loss(self.backbone, context, items[:, :-1], items[:, -1])["loss"].backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=11_908)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--history", type=int, default=20)
    parser.add_argument("--steps", type=int, default=6)
    args = parser.parse_args()
    torch.set_num_threads(1)
    models = {normalize: Model(args.items, normalize) for normalize in ("full", "level")}
    seconds: dict[str, list[float]] = {normalize: [] for normalize in models}
    for step in range(args.steps + 1):
        items = torch.randint(args.items, (args.batch, args.history + 1))
        for normalize, model in models.items():
            took = model.step(items)
            if step:
                seconds[normalize].append(took)
    for normalize, taken in seconds.items():
        print(f"{normalize}: {args.batch / statistics.median(taken):.1f} samples/s")


if __name__ == "__main__":
    main()

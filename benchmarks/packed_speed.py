"""Training prefixes per second of a decoder-only model: all prefixes of a user in one pass, against one by one.

    python benchmarks/packed_speed.py [--history 10 50] [--users 16] [--tokens 5]

Both do the same work (the loss and gradients of SETRec for every prefix of the same users), one after the other, in
processes of their own; prefixes one by one are batched by length, as the data module does. The model is that of
``backbone/qwen_tiny.yaml``; the catalogue has 2,000 items, so that scoring it does not hide the difference.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import torch

from genrec.backbones import CausalBackbone
from genrec.data import Catalog
from genrec.data.samples import beginnings
from genrec.identifiers import SETRec
from genrec.recommenders.packing import one_by_one
from genrec.recommenders.prompts import Prompt
from genrec.types import Batch, Prefixes

SIZES = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 512,
}
ITEMS = 2000


class Model:
    def __init__(self, tokens: int) -> None:
        torch.manual_seed(0)
        catalog = Catalog(pl.DataFrame({"item": range(ITEMS), "title": [f"thing {n}" for n in range(ITEMS)]}))
        assets: Any = SimpleNamespace(text=torch.randn(ITEMS, 384), cf=torch.randn(ITEMS, 64))
        self.backbone = CausalBackbone(sizes=SIZES)
        self.prompt = Prompt()
        self.backbone.setup(catalog.titles, self.prompt.texts)
        self.prompt.setup(self.backbone)
        self.setrec = SETRec(n_semantic=tokens - 1)
        self.setrec.setup(catalog, assets, self.backbone)
        self.parameters = [*self.backbone.parameters(), *self.setrec.parameters()]

    def packed(self, batch: Batch) -> None:
        users, stops = prefixes = every_prefix(batch)
        history, target = one_by_one(batch, prefixes)
        tokens = self.setrec.embed(batch.history)
        most = batch.history.shape[1] + 1
        context = self.prompt.packed(self.backbone, tokens, users, stops * self.setrec.n_tokens, most)
        self.setrec.loss(self.backbone, context, history, target)["loss"].backward()

    def separate(self, batch: Batch) -> None:
        stops = every_prefix(batch).stops
        history, target = one_by_one(batch, every_prefix(batch))
        for rows in stops.argsort().split(len(batch.users)):
            shorter = history[rows, -max(1, int(stops[rows].max())) :]
            context = self.prompt(self.backbone, self.setrec.embed(shorter))
            loss = self.setrec.loss(self.backbone, context, shorter, target[rows])["loss"]
            (loss * len(rows) / len(target)).backward()


def every_prefix(batch: Batch) -> Prefixes:
    """All prefixes of histories without padding, the empty ones too."""
    users, width = batch.history.shape
    return beginnings(batch.history.numpy(), np.full(users, width + 1))


def measure(how: str, history: int, users: int, tokens: int, repeats: int = 3) -> None:
    model = Model(tokens)
    seconds = []
    for _ in range(repeats):
        items = torch.randint(ITEMS, (users, history))
        batch = Batch(torch.arange(users), items[:, :-1], items[:, -1], torch.empty(users, 0))
        for parameter in model.parameters:
            parameter.grad = None
        start = time.perf_counter()
        getattr(model, how)(batch)
        seconds.append(time.perf_counter() - start)
    speed = users * history / statistics.median(seconds)
    print(speed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--history", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=5)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure[0], int(args.measure[1]), args.users, args.tokens)
        return
    print(f"{args.users} users, {args.tokens} tokens per item, {torch.get_num_threads()} threads")
    for history in args.history:
        found = {}
        for how in ("separate", "packed"):
            sizes = ["--users", str(args.users), "--tokens", str(args.tokens)]
            command = [sys.executable, __file__, "--measure", how, str(history), *sizes]
            found[how] = [float(word) for word in subprocess.check_output(command, text=True).split()[-2:]]
            print(f"history {history}, {how}: {found[how][0]:.0f} prefixes/s, peak {found[how][1]:.2f} GiB")
        print(f"history {history}: packed is {found['packed'][0] / found['separate'][0]:.1f} times as fast")


if __name__ == "__main__":
    main()

"""Seconds and peak memory of SETRec: a training step, and ranking all test users in three candidate sets.

    python benchmarks/setrec_speed.py train --root DIR [--sizes small|t5-small] [--batch 32] [--history 8]
    python benchmarks/setrec_speed.py rank  --root DIR [--sizes small|t5-small]

DIR holds the released `toys/`. Weights are random: speed does not depend on them. Text embeddings are random vectors of
the width that the paper's sentence encoder gives (768), for the same reason.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from genrec.backbones import T5Backbone
from genrec.data import Release, SequenceData
from genrec.evaluation.protocol import RankingMetrics
from genrec.identifiers import SETRec
from genrec.recommenders.prompts import Prompt

SIZES = {
    "small": {"d_model": 128, "d_kv": 32, "d_ff": 512, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4},
    "t5-small": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_decoder_layers": 6, "num_heads": 8},
}
TEXT_WIDTH = 768


class Model:
    def __init__(self, sizes: str, data: SequenceData) -> None:
        torch.manual_seed(0)
        dataset = data.dataset
        text = torch.nn.functional.normalize(torch.randn(len(dataset.catalog), TEXT_WIDTH), dim=1)
        self.catalog = dataset.catalog
        assets: Any = SimpleNamespace(text=text, cf=torch.from_numpy(dataset.cf))
        self.assets = assets
        self.backbone = T5Backbone(sizes=dict(SIZES[sizes]))
        self.prompt = Prompt()
        self.backbone.setup(dataset.catalog.titles, self.prompt.texts)
        self.prompt.setup(self.backbone)
        self.setrec = SETRec()
        self.setrec.setup(self.catalog, assets, self.backbone)
        self.modules = torch.nn.ModuleList([self.backbone, self.setrec])


def train(model: Model, data: SequenceData, batch: int, history: int, steps: int = 7) -> None:
    optimizer = torch.optim.AdamW(model.modules.parameters(), lr=1e-3)
    seconds = []
    for _ in range(steps):
        items = torch.randint(len(model.catalog), (batch, history + 1))
        start = time.perf_counter()
        context = model.prompt(model.backbone, model.setrec.embed(items[:, :-1]))
        loss = model.setrec.loss(model.backbone, context, items[:, :-1], items[:, -1])["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds[2:])
    print(f"training step, {batch} samples with {history} items: {median:.2f} s, {batch / median:.1f} samples/s")


@torch.inference_mode()
def rank(model: Model, data: SequenceData) -> None:
    model.modules.eval()
    metrics = RankingMetrics(data.dataset.frequency, (5, 10))
    start = time.perf_counter()
    model.setrec.index(model.catalog, model.assets)
    users = 0
    for batch in data.test_dataloader():
        memory = model.backbone.read(model.prompt(model.backbone, model.setrec.embed(batch.history)))
        metrics.update(model.setrec.rank(model.backbone, memory, 10, metrics.allowed), batch.targets)
        users += len(batch.users)
    seconds = time.perf_counter() - start
    items = metrics.allowed.sum(1).tolist()
    print(f"ranking {users} users over {items} items (all, warm, cold): {seconds:.1f} s, {users / seconds:.0f} users/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "rank"])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--sizes", choices=list(SIZES), default="t5-small")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--history", type=int, default=8)
    args = parser.parse_args()
    data = SequenceData(Release("toys"), root=str(args.root))
    model = Model(args.sizes, data)
    parameters = sum(parameter.numel() for parameter in model.modules.parameters()) / 1e6
    print(f"{args.sizes}: {parameters:.1f} M parameters, {torch.get_num_threads()} threads, torch {torch.__version__}")
    if args.what == "train":
        train(model, data, args.batch, args.history)
    else:
        rank(model, data)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()

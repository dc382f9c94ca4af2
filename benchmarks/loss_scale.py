"""Peak memory and seconds of a training step of SETRec over many items: the catalogue whole, in parts, and drawn from.

    python benchmarks/loss_scale.py [--items 12000 100000 1000000] [--number 8192] [--batch 32] [--layers 6] [--tiny]

The model has t5-small's shape and 60 million random weights, its optimiser is AdamW; speed does not depend on the
weights. Texts are random vectors of the width that the paper's sentence encoder gives (768 numbers, 3 GB for a million
items), collaborative vectors have 64, both are memory-mapped. Every cell is a process of its own. Its peak is the
operating system's count of all that was resident at once (`ru_maxrss`), the tables as far as they were read among it.
What a whole catalogue of more than `--most` items would take is computed from the
two largest that were measured. Seconds are the median of the steps after the first, on the clock and of the processor.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch

from genrec import devices
from genrec.backbones import T5Backbone
from genrec.identifiers import SETRec
from genrec.losses import Negatives
from genrec.recommenders.prompts import TEMPLATE, Prompt

T5_SMALL = {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_heads": 8}
TINY = {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 4}
WORDS = 32_128
WIDTHS = {"text": 768, "cf": 64}
KINDS = ("whole", "in parts", "drawn")
AT_ONCE = 20_000
"""Items whose vectors are drawn and written together."""


def write_tables(folder: Path, items: int) -> None:
    """Random vectors of length 1, of all items."""
    generator = np.random.default_rng(0)
    for name, width in WIDTHS.items():
        with (folder / name).open("wb") as file:
            for start in range(0, items, AT_ONCE):
                rows = generator.standard_normal((min(AT_ONCE, items - start), width), dtype=np.float32)
                (rows / np.linalg.norm(rows, axis=1, keepdims=True)).tofile(file)


def mapped(folder: Path, name: str, items: int) -> torch.Tensor:
    """The vectors of the first items; private pages, so that PyTorch may hold them to be writable."""
    shape = (items, WIDTHS[name])
    return torch.from_numpy(np.memmap(folder / name, np.float32, "c", shape=shape))


def measure(kind: str, items: int, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """A cell of the table: seconds of a step, and GiB."""
    torch.manual_seed(0)
    counts = {"counts": np.ones(items, np.int64)}
    assets: Any = SimpleNamespace(**{name: mapped(folder, name, items) for name in WIDTHS}, built=lambda recipe: counts)
    layers = {"num_layers": options.layers, "num_decoder_layers": options.layers}
    backbone, prompt, identifier = T5Backbone(sizes=TINY if options.tiny else T5_SMALL | layers), Prompt(), SETRec()
    backbone.setup([TEMPLATE])
    if not options.tiny:
        backbone.t5.resize_token_embeddings(WORDS, mean_resizing=False)
    prompt.setup(backbone)
    if kind == "drawn":
        identifier.learn_from(Negatives("uniform", options.number))
    catalog: Any = range(items)
    with mock.patch.object(devices, "WHOLE", sys.maxsize if kind == "whole" else 0):
        identifier.setup(catalog, assets, backbone)
    optimizer = torch.optim.AdamW([*backbone.parameters(), *identifier.parameters()], lr=1e-4)
    seconds, busy = [], []
    for _ in range(options.steps):
        sequence = torch.randint(items, (options.batch, options.history + 1))
        history, target = sequence[:, :-1], sequence[:, -1]
        start, begun = time.perf_counter(), time.process_time()
        context = prompt(backbone, identifier.embed(history))
        loss = identifier.loss(backbone, context, history, target)["loss"]
        loss.backward()
        optimizer.step()
        # As `RankingModule.optimizer_step`: the next forward pass needs the room.
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
        busy.append(time.process_time() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    tables = sum(table.numel() for table in (assets.text, assets.cf)) * 4 / 2**30
    # The first step makes the optimiser's state.
    medians = {"seconds": statistics.median(seconds[1:]), "busy": statistics.median(busy[1:])}
    return {"peak": peak, "tables": tables, **medians}


def cells(folder: Path, options: argparse.Namespace) -> dict[tuple[int, str], dict[str, float]]:
    """All that are measured, each in a process of its own; the tiny ones in this one."""
    found = {}
    for items in options.items:
        for kind in KINDS:
            if kind == "whole" and items > options.most:
                continue
            if options.tiny:
                found[items, kind] = measure(kind, items, folder, options)
                continue
            command = [sys.executable, __file__, *sys.argv[1:], "--cell", kind, str(items), str(folder)]
            found[items, kind] = json.loads(subprocess.check_output(command, text=True))
            print(items, kind, found[items, kind], file=sys.stderr, flush=True)
    return found


def table(found: dict[tuple[int, str], dict[str, float]], options: argparse.Namespace) -> str:
    """The cells in Markdown; what the whole takes that was not measured grows with the items."""
    lines = [
        "| items | the catalogue | peak memory | of it tables | a step | of the processor |",
        "| ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    whole = [(items, found[items, "whole"]) for items in options.items if (items, "whole") in found]
    for items in options.items:
        for kind in KINDS:
            if cell := found.get((items, kind)):
                memory, seconds = ([cell[name] for name in pair] for pair in (("peak", "tables"), ("seconds", "busy")))
                sizes = " | ".join([*(f"{size:.2f} GiB" for size in memory), *(f"{each:.2f} s" for each in seconds)])
            elif len(whole) > 1:
                (few, less), (many, more) = whole[-2:]
                beyond = (items - many) / (many - few)
                peak, busy = (more[name] + beyond * (more[name] - less[name]) for name in ("peak", "busy"))
                sizes = f"{peak:.1f} GiB, computed | | | {busy:.0f} s, computed"
            else:
                continue
            lines.append(f"| {items:,} | {kind} | {sizes} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[12_000, 100_000, 1_000_000])
    parser.add_argument("--most", type=int, default=100_000)
    parser.add_argument("--number", type=int, default=8192)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--history", type=int, default=8)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="hundreds of items and a small model, to see that it runs")
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.cell:
        kind, items, folder = options.cell
        print(json.dumps(measure(kind, int(items), Path(folder), options)))
        return
    if options.tiny:
        options.items, options.most, options.number, options.steps = [100, 200, 400], 200, 50, 2
    with tempfile.TemporaryDirectory() as scratch:
        write_tables(Path(scratch), max(options.items))
        found = cells(Path(scratch), options)
    about = (
        f"batches of {options.batch} with {options.history} items, {options.layers} layers, {options.number:,} drawn"
    )
    print(f"{about}; {torch.get_num_threads()} threads, torch {torch.__version__}\n\n{table(found, options)}")


if __name__ == "__main__":
    main()

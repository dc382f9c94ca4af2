"""Every quantiser beside the others: how its codes come out, and what they cost.

    python benchmarks/quantisers.py [--root DIR] [--only RQ-VAE RVQ] [--tiny]
    python benchmarks/quantisers.py --items 50000 100000 1000000 [--most 100000]

Without `--items` it is of Toys: the released split in DIR/toys, whose texts are embedded by MiniLM and kept in
DIR/assets. With `--items` it is of made-up catalogues: vectors of MiniLM's width (384 numbers) around 2,000 centres,
memory-mapped; seconds beyond `--most` items grow as between the two largest that were measured, and are said to be
computed.

Collisions are of the nearest codes, before any repair: the share of the items that are too many. `used` and `entropy`
(in bits) are of every level, the mean where there are more than four. `lost` is the share of the variance that the
codes leave unsaid, of what each quantiser is made of: of standardised features (RQ-VAE, LETTER, FSQ), of the vectors
(RQ-KMeans, RVQ), of whitened components (PQ, OPQ). Each cell is a process of its own; memory is its largest resident
set, by the operating system's count, Python and torch included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from genrec.assets import (
    Assets,
    FSQCodes,
    ItemCodes,
    LETTERCodes,
    MiniLMText,
    PQCodes,
    ReleasedCF,
    RQKMeansCodes,
    RQVAECodes,
    RVQCodes,
    Training,
)
from genrec.data.sources import Release
from genrec.seeds import with_seed

QUANTISERS: Mapping[str, Callable[[dict[str, Any]], ItemCodes]] = {
    "RQ-VAE": lambda less: RQVAECodes(training=Training(**less)),
    "RQ-VAE, rotation trick": lambda less: RQVAECodes(training=Training(gradient="rotation", **less)),
    "RQ-VAE, from drawn items": lambda less: RQVAECodes(training=Training(initial="items", **less)),
    "RQ-VAE, uniform": lambda less: RQVAECodes(training=Training(initial="uniform", **less)),
    "LETTER": lambda less: LETTERCodes(training=Training(**less)),
    "RQ-KMeans": lambda less: RQKMeansCodes(),
    "RQ-KMeans, balanced": lambda less: RQKMeansCodes(balanced=True),
    "RVQ, moving averages": lambda less: RVQCodes(**less),
    "FSQ": lambda less: FSQCodes(**less),
    "PQ, 4 digits": lambda less: PQCodes(digits=4, rotate=False),
    "OPQ, 4 digits": lambda less: PQCodes(digits=4),
    "OPQ, 32 digits": lambda less: PQCodes(),
}
WIDTHS = {"text": 384, "cf": 64}
CENTRES = 2_000
AT_ONCE = 50_000
"""Items whose vectors are drawn and written together."""
SHOWN = 4
"""Levels whose numbers are shown one by one."""

Cell = dict[str, Any]


def write_vectors(folder: Path, items: int) -> None:
    """Made-up vectors of length 1, some of them near each other."""
    rng = np.random.default_rng(0)
    for name, width in WIDTHS.items():
        centres = rng.standard_normal((CENTRES, width), dtype=np.float32)
        with (folder / name).open("wb") as file:
            for start in range(0, items, AT_ONCE):
                count = min(AT_ONCE, items - start)
                rows = centres[rng.integers(CENTRES, size=count)]
                rows = rows + 0.7 * rng.standard_normal((count, width), dtype=np.float32)
                (rows / np.linalg.norm(rows, axis=1, keepdims=True)).tofile(file)


def made_up(folder: Path, items: int) -> tuple[Any, dict[str, np.ndarray]]:
    """As much of a data set as codes are made of, and the vectors of the first items."""
    tables = {name: np.memmap(folder / name, np.float32, "c", shape=(items, width)) for name, width in WIDTHS.items()}
    return SimpleNamespace(name="made up", catalog=range(items), warm=np.ones(items, bool)), dict(tables)


def toys(root: str) -> tuple[Any, dict[str, np.ndarray]]:
    """The released split of Toys, and its vectors."""
    dataset = Release("toys").load(root)
    assets = Assets(MiniLMText(), ReleasedCF(), root=f"{root}/assets").bind(dataset)
    return dataset, {"text": assets.text.numpy(), "cf": assets.cf.numpy()}


def measure(name: str, dataset: Any, tables: dict[str, np.ndarray], options: argparse.Namespace) -> Cell:
    """What the codes of one quantiser look like, and what they took."""
    recipe = with_seed(QUANTISERS[name]({"steps": options.steps} if options.steps else {}), 0)
    with tempfile.TemporaryDirectory() as scratch, redirect_stdout(sys.stderr):
        start, begun = time.perf_counter(), time.process_time()
        recipe.build(dataset, Path(scratch), tables)
        seconds, busy = time.perf_counter() - start, time.process_time() - begun
        told = json.loads((Path(scratch) / "diagnostics.json").read_text(encoding="utf-8"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {**told, **told.get("nearest", {}), "size": recipe.size, "seconds": seconds, "busy": busy, "peak": peak}


def cell(name: str, items: int, folder: str, options: argparse.Namespace) -> Cell:
    """A cell in a process of its own; the tiny ones in this one."""
    if options.tiny:
        return measure(name, *made_up(Path(folder), items), options)
    command = [sys.executable, __file__, *options.given, "--cell", name, str(items), folder]
    found = json.loads(subprocess.check_output(command, text=True))
    print(name, items, f"{found['seconds']:.0f} s", file=sys.stderr, flush=True)
    return found


def levels(values: list[float], form: Callable[[float], str]) -> str:
    """The numbers of all levels, or their mean."""
    return " ".join(map(form, values)) if len(values) <= SHOWN else f"mean {form(mean(values))}"


def quality(found: Mapping[str, Cell]) -> str:
    """How the codes came out, in Markdown."""
    lines = [
        "| quantiser | codes | collisions | most alike | used | entropy | lost | seconds | of the processor | peak |",
        "| --- | --- | ---: | ---: | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for name, told in found.items():
        shape = f"{len(told['used'])} of {told['size']}"
        used, bits = levels(told["used"], "{:.0%}".format), levels(told["entropy"], "{:.2f}".format)
        took = f"{told['seconds']:.0f} | {told['busy']:.0f} | {told['peak']:.2f} GiB"
        groups = f"{told['collision_rate']:.2%} | {told['largest_group']:,}"
        lines.append(f"| {name} | {shape} | {groups} | {used} | {bits} | {told['reconstruction']:.1%} | {took} |")
    return "\n".join(lines)


def scale(found: Mapping[tuple[str, int], Cell], sizes: list[int]) -> str:
    """How long it takes, in Markdown; what was not measured grows as between the two largest that were."""
    lines = [
        "| quantiser | items | collisions | seconds | of the processor | peak |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in dict.fromkeys(name for name, _ in found):
        measured = [size for size in sizes if (name, size) in found]
        for size in sizes:
            if told := found.get((name, size)):
                took = f"{told['seconds']:.0f} | {told['busy']:.0f} | {told['peak']:.2f} GiB"
                lines.append(f"| {name} | {size:,} | {told['collision_rate']:.2%} | {took} |")
            elif len(measured) > 1:
                few, many = (found[name, each] for each in measured[-2:])
                beyond = (size - measured[-1]) / (measured[-1] - measured[-2])
                hours = [(many[part] + beyond * max(0, many[part] - few[part])) / 3600 for part in ("seconds", "busy")]
                computed = " | ".join(f"{each:.2f} h, computed" for each in hours)
                lines.append(f"| {name} | {size:,} | | {computed} | |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="data", help="the folder of `toys/`")
    parser.add_argument("--items", type=int, nargs="+", default=[], help="of made-up catalogues, instead of Toys")
    parser.add_argument("--most", type=int, default=100_000, help="items that are measured; beyond, it is computed")
    parser.add_argument("--only", nargs="+", choices=QUANTISERS, default=list(QUANTISERS), metavar="QUANTISER")
    parser.add_argument("--steps", type=int, help="of what is trained, instead of the defaults")
    parser.add_argument("--tiny", action="store_true", help="hundreds of items and few steps, to see that it runs")
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.given = sys.argv[1:] if arguments is None else arguments
    if options.cell:
        name, items, folder = options.cell
        # What a data set tells of itself is no part of the answer.
        with redirect_stdout(sys.stderr):
            data = made_up(Path(folder), int(items)) if folder else toys(options.root)
        print(json.dumps(measure(name, *data, options)))
        return
    if options.tiny:
        options.items, options.most, options.steps = [300, 400, 500], 400, 5
    about = f"{torch.get_num_threads()} threads, torch {torch.__version__}, seed 0"
    if options.steps:
        about += f", {options.steps:,} steps of what is trained"
    if not options.items:
        found = {name: cell(name, 0, "", options) for name in options.only}
        print(f"Toys; {about}\n\n{quality(found)}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        write_vectors(Path(scratch), max(options.items))
        sizes = [size for size in options.items if size <= options.most]
        cells = {(name, size): cell(name, size, scratch, options) for name in options.only for size in sizes}
    print(f"made-up vectors; {about}\n\n{scale(cells, options.items)}")


if __name__ == "__main__":
    main()

"""Results of runs: ``metrics.json``, and one table over them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from genrec.errors import GenrecError
from genrec.runs import METRICS

MAIN_SETTINGS = ("all", "warm", "cold")
LIBRARIES = ("genrec", "torch", "lightning", "transformers")


def environment() -> dict[str, Any]:
    """Hardware and versions, as `metrics.json` keeps them."""
    import torch

    gpus = [torch.cuda.get_device_name(gpu) for gpu in range(torch.cuda.device_count())]
    return {
        "hardware": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpus": gpus,
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
    }


def load_results(path: str | Path) -> dict[str, Any]:
    """The ``metrics.json`` of a run folder, or of the newest run in a folder of runs.

    Raises:
        GenrecError: if there is none, or it cannot be read.
    """
    folder = Path(path)
    found = [folder / METRICS] if (folder / METRICS).is_file() else sorted(folder.glob(f"*/{METRICS}"))
    if not found:
        raise GenrecError(f"no {METRICS} in {folder} or in a run below it: run `genrec test` first")
    try:
        return json.loads(found[-1].read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise GenrecError(f"{found[-1]}, line {error.lineno}: not valid JSON ({error.msg})") from error


def results_table(results: Sequence[dict[str, Any]], settings: Sequence[str] = MAIN_SETTINGS) -> Table:
    """A table with a row per setting and method: metrics, users counted, seconds of ranking."""
    first = results[0]
    names = [name for name in first["settings"]["all"] if name != "users"]
    table = Table(title=f"{first['dataset']}: {first['users']:,} {first['split']} users, {first['items']:,} items")
    table.add_column("setting")
    table.add_column("method")
    for name in names:
        metric, k = name.split("@")
        table.add_column(f"{metric[0].upper()}@{k}", justify="right")
    table.add_column("users", justify="right")
    table.add_column("rank s", justify="right")
    for setting in settings:
        for result in results:
            values = result["settings"].get(setting)
            if values is None:
                continue
            seconds = f"{result['seconds']['rank']:.1f}" if setting == settings[0] else ""
            cells = [f"{values[name]:.4f}" if values["users"] else "-" for name in names]
            table.add_row(setting, result["method"], *cells, f"{values['users']:,}", seconds)
        table.add_section()
    return table


def print_table(results: Sequence[dict[str, Any]], settings: Sequence[str] = MAIN_SETTINGS) -> None:
    """Print `results_table`, wide enough when the output is a file."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    console.print(results_table(results, settings))


def report(runs: Sequence[str]) -> None:
    """Print one table per data set over runs (``genrec report RUN...``).

    Raises:
        GenrecError: if no run is given or one has no results.
    """
    if not runs:
        raise GenrecError(
            "`genrec report` takes the folders of runs: genrec report runs/toys_setrec runs/toys_popularity"
        )
    by_dataset: dict[str, list[dict[str, Any]]] = {}
    for result in map(load_results, runs):
        by_dataset.setdefault(result["dataset"], []).append(result)
    for results in by_dataset.values():
        print_table(results)

"""What a run wrote down: ``metrics.json`` and ``config.yaml`` of its folder."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrec.config.files import load_config
from genrec.errors import GenrecError
from genrec.io.versions import commit, versions
from genrec.runs.layout import CONFIG, METRICS, RANKS, newest_run

_RESULTS = re.compile(r"metrics(\.\d+)?\.json")
LIBRARIES = ("genrec", "torch", "lightning", "transformers")


@dataclass(frozen=True)
class Run:
    """A run that was tested.

    Args:
        folder: where it is.
        results: its ``metrics.json``, or that of one test, such as ``metrics.1.json``.
        config: its ``config.yaml``; empty if it has none.
        number: what the files of that one test are numbered with, such as ``.1``.
    """

    folder: Path
    results: Mapping[str, Any]
    config: Mapping[str, Any]
    number: str = ""

    @property
    def ranks(self) -> Path:
        """Where the same test wrote the ranks of all targets."""
        return self.folder / RANKS.replace(".", f"{self.number}.")


def environment() -> dict[str, Any]:
    """Hardware, versions and, of a checkout, the commit, as `metrics.json` keeps them."""
    import torch

    gpus = [torch.cuda.get_device_name(gpu) for gpu in range(torch.cuda.device_count())]
    return {
        "hardware": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpus": gpus,
        },
        "versions": {"python": platform.python_version(), **versions(*LIBRARIES), "commit": commit()},
    }


def load_run(path: str | Path) -> Run:
    """The run of a folder, or the one in a folder of runs that was tested last, as its own settings say.

    Args:
        path: the folder; or the file of one test, such as ``metrics.1.json``, which had other settings.

    Raises:
        GenrecError: if there is none, or its files are damaged or of another version.
    """
    asked = Path(path)
    if asked.is_file() and (named := _RESULTS.fullmatch(asked.name)):
        return Run(asked.parent, read_results(asked), _config(asked.parent / CONFIG), named[1] or "")
    folder = newest_run(asked, METRICS)
    if folder is None and not asked.exists():
        raise GenrecError(f"there is no run `{path}`: `genrec test` makes one")
    if folder is None:
        raise GenrecError(f"no {METRICS} in {path} or in a run below it: run `genrec test` first")
    return Run(folder, read_results(folder / METRICS), _config(folder / CONFIG))


def measured(results: Mapping[str, Any]) -> list[str]:
    """The names of the metrics in results."""
    return [name for name in results["settings"]["all"] if name != "users"]


def load_results(path: str | Path) -> dict[str, Any]:
    """The ``metrics.json`` of `load_run`."""
    return dict(load_run(path).results)


def _config(path: Path) -> Mapping[str, Any]:
    try:
        return load_config(str(path)) if path.is_file() else {}
    except UnicodeDecodeError as error:
        raise GenrecError(f"{path} is damaged: it is not text") from error


def read_results(path: Path) -> dict[str, Any]:
    """The contents of a ``metrics.json``, without the rest of its run.

    Raises:
        GenrecError: if it cannot be read, is damaged or of another version.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise GenrecError(f"{path}, line {error.lineno}: not valid JSON ({error.msg})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise GenrecError(f"{path} cannot be read ({error})") from error
    missing = _missing(results)
    if missing:
        raise GenrecError(
            f"{path} has no {missing}: it is damaged or of another version of genrec; run `genrec test` again"
        )
    return results


def _missing(results: Any) -> str | None:
    """What a table needs and these results do not have."""
    if not isinstance(results, dict):
        return "mapping of results"
    for key, kind in (("dataset", str), ("method", str), ("split", str), ("users", int), ("items", int)):
        if not isinstance(results.get(key), kind):
            return f"`{key}`"
    settings = results.get("settings")
    if not isinstance(settings, dict) or "all" not in settings:
        return "`settings` with the metrics of all items"
    for setting, values in settings.items():
        numbers = isinstance(values, dict) and all(isinstance(value, int | float) for value in values.values())
        if not numbers or "users" not in values:
            return f"numbers for the setting `{setting}`"
    parameters = results.get("parameters", {"trained": 0})
    if not isinstance(parameters, dict) or not isinstance(parameters.get("trained"), int):
        return "number of `trained` parameters"
    seconds = results.get("seconds")
    if not isinstance(seconds, dict) or not isinstance(seconds.get("rank"), int | float):
        return "`seconds` of ranking"
    return None

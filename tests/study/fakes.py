"""Commands that train nothing: what a study runs, and what it leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import torch
import yaml

from genrec.config.files import load_config, merge
from genrec.evaluation.protocol import Measure
from genrec.io.files import write_text
from genrec.runs import layout
from genrec.study.tuning import _nested

Result = Callable[[dict[str, Any]], float]


def resolve(arguments: Sequence[str]) -> dict[str, Any]:
    """The config of arguments, without the defaults of the classes."""
    config: dict[str, Any] = {"seed_everything": 42, "checkpoint": {"monitor": "val/ndcg@10", "mode": "max"}}
    rest = iter(arguments)
    for flag in rest:
        key, equals, value = flag.removeprefix("--").partition("=")
        value = value if equals else next(rest)
        config = merge(config, load_config(value) if key == "config" else _nested(key, yaml.safe_load(value)))
    return config


class Fake:
    """Makes the files that ``genrec fit`` and ``genrec test`` make.

    Args:
        score: the NDCG of a config.
    """

    def __init__(self, score: Result = lambda config: 0.5) -> None:
        self.score = score
        self.users: Callable[[dict[str, Any]], int] = lambda config: 9
        self.calls: list[str] = []
        self.fails: Callable[[str, dict[str, Any]], bool] = lambda command, config: False
        self.dies: Callable[[str, dict[str, Any]], bool] = lambda command, config: False

    def __call__(self, arguments: Sequence[str], log: Path, lock: IO[str]) -> str | None:
        command, config = arguments[0], resolve([part for part in arguments[1:] if part not in ("--ckpt_path", "last")])
        names = [Path(arguments[place + 1]) for place, part in enumerate(arguments) if part == "--config"]
        resumed = names[0].parent if names[0].name == layout.CONFIG else None
        root = Path(config["runs"])
        self.calls.append(f"{'resume' if command == 'fit' and resumed else command} {root.name}/{names[-1].stem}")
        log.write_text("many words\n")
        if self.fails(command, config):
            return "ValueError: no"
        if command == "fit":
            run = resumed or layout.new_run(root, names[-1].stem)
            (run / layout.CHECKPOINTS).mkdir(exist_ok=True)
            write_text(run / layout.CONFIG, yaml.safe_dump({**config, "ckpt_path": None}))
            torch.save({"state_dict": {}, "optimizer_states": []}, run / layout.CHECKPOINTS / layout.LAST)
            if self.dies(command, config):
                raise KeyboardInterrupt
            torch.save({"state_dict": {}}, run / layout.CHECKPOINTS / layout.BEST)
            (run / layout.FIT).write_text("{}")
        elif self.dies(command, config):
            raise KeyboardInterrupt
        else:
            assert resumed
            (resumed / layout.METRICS).write_text(json.dumps(self._results(config)))
        return None

    def _results(self, config: dict[str, Any]) -> dict[str, Any]:
        measure = Measure(**config.get("measure", {"metrics": ["ndcg"]}))
        values = {f"{name}@10": self.score(config) for name in measure.metrics} | {"users": 9}
        settings = ["all", "warm", "cold", *(["all-new"] if measure.new else [])]
        named = config["model"].get("init_args", {}).get("identifier", config["model"])
        return {
            "dataset": "synthetic",
            "method": named["class_path"].rpartition(".")[2],
            "backbone": None,
            "seed": config["seed_everything"],
            "split": "test",
            "users": self.users(config),
            "items": 99,
            "settings": dict.fromkeys(settings, values),
            "seconds": {"fit": 50.0, "rank": 10.0},
        }

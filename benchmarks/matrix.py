"""Which methods run with which language model, precision and strategy: each trained, tested and resumed.

    python benchmarks/matrix.py [--identifiers setrec tiger] [--strategies 1 ddp fsdp] [--out matrix.md]

Every cell trains 20 steps on a small made-up shop (the fit validates twice), tests on every user, and resumes from the
checkpoint for 4 steps more. A cell that does not run holds the sentence that says why. `1` is one process, `ddp` and
`fsdp` are two (gloo, on the CPU); all cells of a strategy share their processes. The language models are a new T5, a
new Qwen2 that learns in full, and adapters on a Qwen2 of random weights in bfloat16.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import lightning as L
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

from genrec.backbones.words import load_tokenizer
from genrec.config.files import load_config, merge
from genrec.data.sources.synthetic import Synthetic
from genrec.errors import GenrecError
from genrec.runs.building import build
from genrec.testing.tiny import QWEN, T5
from genrec.training.callbacks.continuation import Continuation
from genrec.training.trainer import strategy_of

IDENTIFIERS = (
    *("setrec", "tiger", "letter", "cid", "semid", "idgenrec", "bigrec", "e4srec", "dreamrec"),
    *("lcrec", "rpg", "codeset", "diffgrm", "sasrec"),
)
BACKBONES = ("t5", "causal", "lora")
PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "16-mixed")
STEPS, MORE = 20, 4
SHOP = {"users": 60, "items": 60}
PQ = {"class_path": "PQCodes", "init_args": {"digits": 4, "size": 8, "dim": 8}}
SMALL: dict[str, dict[str, Any]] = {
    "tiger": {"codes": {"class_path": "RQVAECodes", "init_args": {"size": 8, "training": {"steps": 20}}}},
    "letter": {"codes": {"class_path": "LETTERCodes", "init_args": {"size": 8, "training": {"steps": 20}}}},
    "cid": {"clusters": {"class_path": "CooccurrenceClusters", "init_args": {"branching": 4, "leaf": 10}}},
    "idgenrec": {"tags": {"class_path": "KeywordTags"}},
    "lcrec": {"codes": {"class_path": "RQVAECodes", "init_args": {"size": 8, "training": {"steps": 20}}}},
    "rpg": {"codes": PQ},
    "codeset": {"semantic": PQ, "collaborative": PQ},
    "diffgrm": {"codes": PQ},
}
"""Arguments of the identifiers that make their assets small."""


def config_of(identifier: str, backbone: str, folder: Path) -> dict[str, Any]:
    """Model, data and assets of a cell."""
    if identifier == "sasrec":
        config = load_config("synthetic_sasrec.yaml")
        model: dict[str, Any] = {"init_args": {"dim": 16}}
        samples = "users"
    else:
        config = merge(load_config("data/synthetic.yaml"), load_config(f"identifier/{identifier}.yaml"))
        model = {
            "class_path": "Recommender",
            "init_args": {
                "backbone": {
                    "t5": {"class_path": "T5Backbone", "init_args": {"sizes": T5}},
                    "causal": {"class_path": "CausalBackbone", "init_args": {"sizes": QWEN}},
                    "lora": {
                        "class_path": "CausalBackbone",
                        "init_args": {
                            "pretrained": str(folder / "pretrained"),
                            "tuning": "lora",
                            "dtype": "bfloat16",
                        },
                    },
                }[backbone],
                "identifier": {"init_args": SMALL.get(identifier, {})},
                "warmup_steps": 2,
            },
        }
        samples = "prefixes" if backbone == "t5" else "windows"
    sasrec = {"class_path": "SASRecCF", "init_args": {"dim": 16, "max_epochs": 2}}
    small = {
        "model": model,
        "data": {"source": {"class_path": "Synthetic", "init_args": SHOP}, "batch_size": 4, "samples": samples},
        "assets": {"root": str(folder / "assets"), "text": {"init_args": {"dim": 16}}, "cf": sasrec},
    }
    if identifier == "bigrec":
        small["data"]["max_history"] = 10
    if identifier == "dreamrec":
        small["model"]["init_args"]["identifier"]["init_args"] = {"dim": 16}
    whole = merge(config, small)
    return {name: whole[name] for name in ("model", "data", "assets")}


def run_cell(identifier: str, backbone: str, precision: Any, strategy: str, folder: Path) -> str:
    """Train, test and resume; ``ok``, or why not."""

    def trainer(steps: int) -> L.Trainer:
        return L.Trainer(
            accelerator="cpu",
            devices=1 if strategy == "1" else 2,
            strategy="auto" if strategy == "1" else strategy_of(strategy, precision),
            precision=precision,
            max_steps=steps,
            callbacks=[Continuation()],
            val_check_interval=STEPS // 2,
            check_val_every_n_epoch=None,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )

    L.seed_everything(0, verbose=False)
    checkpoint = folder / f"{strategy}.ckpt"
    try:
        made = build(config_of(identifier, backbone, folder))
        first = trainer(STEPS)
        first.fit(made.model, made.data)
        first.save_checkpoint(checkpoint)
        first.test(made.model, made.data, verbose=False)
        tested, users = made.model.results["all"]["users"], int((made.data.dataset.test.lengths > 0).sum())
        again = build(config_of(identifier, backbone, folder))
        second = trainer(STEPS + MORE)
        second.fit(again.model, again.data, ckpt_path=checkpoint, weights_only=False)
    except GenrecError as error:
        return str(error)
    except Exception as error:
        return f"FAILED {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if tested != users:
        return f"FAILED: {tested} users were tested, not {users}"
    if second.global_step != STEPS + MORE:
        return f"FAILED: {second.global_step} steps after resuming"
    return "ok"


def cells(identifiers: list[str]) -> Iterator[tuple[str, str, str]]:
    """Identifier, backbone and precision of every cell; SASRec has no language model."""
    for identifier in identifiers:
        for backbone in BACKBONES if identifier != "sasrec" else ("-",):
            for precision in PRECISIONS:
                yield identifier, backbone, precision


def work(strategy: str, identifiers: list[str], folder: Path) -> None:
    """All cells of a strategy, in this process and those beside it; the first one writes down what came out."""
    logging.set_verbosity_error()
    for identifier, backbone, precision in cells(identifiers):
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            outcome = run_cell(identifier, backbone, precision, strategy, folder)
        if os.environ.get("RANK", "0") == "0":
            print(f"{strategy} {identifier} {backbone} {precision}: {outcome}", flush=True)
            with (folder / f"{strategy}.jsonl").open("a") as file:
                file.write(json.dumps([identifier, backbone, precision, outcome]) + "\n")


def table(found: dict[tuple[str, str, str, str], str]) -> str:
    """The cells as Markdown; reasons are numbered below."""
    strategies = list(dict.fromkeys(strategy for strategy, *_ in found))
    rows = list(dict.fromkeys((identifier, backbone) for _, identifier, backbone, _ in found))
    columns = [(precision, strategy) for precision in PRECISIONS for strategy in strategies]
    names = {"1": "one", "ddp": "ddp 2", "fsdp": "fsdp 2"}
    reasons: list[str] = []

    def shown(outcome: str) -> str:
        if outcome == "ok":
            return "yes"
        if outcome not in reasons:
            reasons.append(outcome)
        return f"[{reasons.index(outcome) + 1}]"

    head = ["method", "model", *(f"{precision}, {names[strategy]}" for precision, strategy in columns)]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for identifier, backbone in rows:
        values = [
            shown(found.get((strategy, identifier, backbone, precision), "not run")) for precision, strategy in columns
        ]
        lines.append("| " + " | ".join([identifier, backbone, *values]) + " |")
    return "\n".join([*lines, "", *(f"{number}. {reason}" for number, reason in enumerate(reasons, 1)), ""])


def main() -> None:
    """Run the cells in as many processes as each strategy takes, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--identifiers", nargs="+", default=IDENTIFIERS, choices=IDENTIFIERS)
    parser.add_argument("--strategies", nargs="+", default=["1", "ddp", "fsdp"], choices=["1", "ddp", "fsdp"])
    parser.add_argument("--out", type=Path, help="where the table goes; standard output if not given")
    parser.add_argument("--work", nargs=2, metavar=("STRATEGY", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], options.identifiers, Path(options.work[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = load_tokenizer(None, Synthetic(**SHOP).load("data").catalog.titles)
        config = AutoConfig.for_model("qwen2", vocab_size=len(tokenizer), **QWEN)
        AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder / "pretrained")
        tokenizer.save_pretrained(folder / "pretrained")
        found = {}
        for strategy in options.strategies:
            launch = [] if strategy == "1" else ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
            command = [
                sys.executable,
                *launch,
                __file__,
                "--work",
                strategy,
                name,
                "--identifiers",
                *options.identifiers,
            ]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
            for line in (folder / f"{strategy}.jsonl").read_text().splitlines():
                identifier, backbone, precision, outcome = json.loads(line)
                found[strategy, identifier, backbone, precision] = outcome
    text = table(found)
    if options.out:
        options.out.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()

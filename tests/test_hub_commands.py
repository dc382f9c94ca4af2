"""The paper's configs as they are, with models fetched from a hub: only the data's place and the steps are given."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genrec.cli import main
from genrec.runs.results import load_results

from .data.server import running
from .hub import HubServer, visit
from .models import qwen, sentence_t5, t5_small

ITEMS, USERS = 40, 12
TITLES = [f"{('red', 'blue', 'tall')[item % 3]} {('train', 'boat')[item % 2]} number {item}" for item in range(ITEMS)]


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the format of the release, of a few users."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "toys"
    folder.mkdir()
    rng = np.random.default_rng(0)
    # The last items are cold.
    lists = {
        "training": {user: rng.integers(ITEMS - 12, size=4).tolist() for user in range(USERS)},
        "validation": {user: rng.integers(ITEMS, size=1).tolist() for user in range(USERS)},
        "testing": {user: rng.integers(ITEMS, size=2).tolist() for user in range(USERS)},
    }
    for name, contents in lists.items():
        np.save(folder / f"{name}_dict.npy", np.array(contents, dtype=object), allow_pickle=True)
    rows = [json.dumps({"item_id": item, "asin": f"B{item:03}", "title": TITLES[item]}) for item in range(ITEMS)]
    (folder / "items.jsonl").write_text("\n".join(rows) + "\n")
    with (folder / "SASRec_item_embed.pkl").open("wb") as file:
        pickle.dump(torch.randn(ITEMS, 64), file)
    return root


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    folder = tmp_path_factory.mktemp("models")
    makers = {
        "google-t5/t5-small": lambda path: t5_small(path, TITLES),
        "sentence-transformers/sentence-t5-base": lambda path: sentence_t5(path, TITLES),
        "Qwen/Qwen2.5-1.5B": lambda path: qwen(path, TITLES, tied=True),
        "Qwen/Qwen2.5-7B": lambda path: qwen(path, TITLES, tied=False),
    }
    with running(HubServer()) as server:
        for name, make in makers.items():
            path = folder / name.replace("/", "-")
            make(path)
            files = [file for file in path.rglob("*") if file.is_file()]
            server.repositories[name] = {str(file.relative_to(path)): file.read_bytes() for file in files}
        yield server


@pytest.fixture(autouse=True)
def here(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    visit(hub, tmp_path / "cache" / "hub", monkeypatch)
    return tmp_path


def assert_tested(config: str, toys: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `genrec test` finds out of the only run."""
    capsys.readouterr()
    main(["test", "--config", config, "--data.root", str(toys)])
    assert "R@10" in capsys.readouterr().out
    (run,) = Path("runs", Path(config).stem).iterdir()
    results = load_results(run)
    assert results["settings"]["all"]["users"] == USERS
    assert results["parameters"]["trained"] > 0
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    return results


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "more"),
    [
        ("toys_setrec.yaml", []),
        ("toys_setrec_qwen.yaml", []),
        (
            "toys_tiger_qwen.yaml",
            [
                "--model.init_args.backbone.init_args.pretrained=Qwen/Qwen2.5-7B",
                "--model.init_args.identifier.init_args.codes.init_args.training.steps=100",
            ],
        ),
    ],
)
def test_fit_and_test(config: str, more: list[str], toys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", "--config", config, "--data.root", str(toys), "--trainer.max_steps", "2", *more])
    assert_tested(config, toys, capsys)


RENDEZVOUS = ("--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0")
TORCHRUN = ("-m", "torch.distributed.run", "--nnodes", "1", "--nproc-per-node", "2", *RENDEZVOUS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "launcher"), [("ddp", ()), ("fsdp", ()), ("ddp", TORCHRUN)], ids=["ddp", "fsdp", "torchrun"]
)
def test_two_processes(
    strategy: str, launcher: tuple[str, ...], toys: Path, hub: HubServer, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """README's commands for several processes, with two of them on a CPU; what they leave is tested by one."""
    config = "toys_setrec_qwen.yaml"
    command = [sys.executable, *launcher, "-m", "genrec", "fit", "--config", config, "--data.root", str(toys)]
    command += ["--trainer.devices", "2", "--trainer.strategy", strategy, "--trainer.accelerator", "cpu"]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(here / "cache"),
        "HF_HUB_DISABLE_XET": "1",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run([*command, "--trainer.max_steps", "2"], env=environment, timeout=500, check=False, **pipes)
    assert done.returncode == 0, done.stdout[-3000:]
    results = assert_tested(config, toys, capsys)
    assert [part["processes"] for part in results["training"]] == [2]

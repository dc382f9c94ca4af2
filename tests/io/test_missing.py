"""A package that only one command needs: without it that command says so, and all others work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from genrec.cli import main
from genrec.decoding.vector_index import VectorIndex
from genrec.io.missing import PACKAGES, missing_package

SMALL = ["--data.source.init_args.users=60", "--data.source.init_args.items=40", "--data.rank_batch_size=16"]
"""A small data set of the packaged synthetic configs."""
HOLDERS = (
    "genrec.analysis.report.plots",
    "genrec.study.journal",
    "genrec.study.pruning",
    "genrec.study.tuning",
)
"""Modules that import theirs at once, and are imported by nobody else."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def hide(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == package:
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    for name in HOLDERS:
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("optuna", "tune tune_toys_setrec_small.yaml"),
        ("sentence_transformers", "prepare --config synthetic_setrec.yaml --assets.text=genrec.assets.SentenceText"),
        ("sklearn", "prepare --config synthetic_setrec.yaml --assets.text=genrec.assets.TfidfText"),
    ],
)
def test_the_command_that_needs_it_says_so(
    package: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hide(monkeypatch, package)
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), *(SMALL if command.startswith("prepare") else [])])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"genrec: error: this needs a package that is not there: pip install {PACKAGES[package]}"


def test_an_index_needs_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "faiss")
    with pytest.raises(ModuleNotFoundError) as raised:
        VectorIndex(torch.eye(3), "ivf")
    assert missing_package(raised.value) == "this needs a package that is not there: pip install faiss-cpu"


def test_other_modules_are_none_of_ours() -> None:
    assert missing_package(ModuleNotFoundError("No module named 'mine'", name="mine")) is None
    assert missing_package(ImportError("cannot import name", name="optuna")) is None


WITHOUT = f"""
import sys
for name in {[*PACKAGES, "wandb", "mlflow"]}:
    sys.modules[name] = None
from genrec.cli import main

def run(*arguments):
    try:
        main([*arguments])
    except SystemExit as ended:
        return ended.code

small = {SMALL}
assert not run("test", "--config", "synthetic_popularity.yaml", *small)
assert not run("report", "runs/synthetic_popularity")
assert not run("compare", "runs/synthetic_popularity", "runs/synthetic_popularity")
assert run("report", "runs/synthetic_popularity", "--plots", "figures") == 2
assert run("fit", "--config", "synthetic_sasrec.yaml", "--trainer.max_epochs=1", *small) == 2
"""


def test_all_else_works_without_them(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("genrec: error: ")] == [
        "genrec: error: this needs a package that is not there: pip install matplotlib",
        "genrec: error: this needs a package that is not there: pip install tensorboard",
    ]

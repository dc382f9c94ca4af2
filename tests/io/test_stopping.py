"""A command that is asked to end (SIGTERM) ends with exit code 143, and has left nothing half-written."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from pyarrow.parquet import ParquetWriter

from genrec.assets.store import AssetStore
from genrec.cli import main
from genrec.io.folders import is_intact
from genrec.io.stopping import CODE, ends_when_asked
from genrec.recommenders import RankingModule
from genrec.recommenders.sasrec import SASRec
from genrec.study.processes import _wait

from .. import forks

TINY = (
    "data: {batch_size: 9, source: {init_args: {users: 60, items: 120}}}\n"
    "trainer: {enable_progress_bar: false, enable_model_summary: false, logger: csv, max_epochs: 1}\n"
)
SETREC = TINY + "assets: {cf: {init_args: {max_epochs: 1}}}\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run."""
    folder = tmp_path_factory.mktemp("stopping")
    (folder / "tiny.yaml").write_text("compose: [synthetic_sasrec.yaml]\n" + TINY)
    (folder / "setrec.yaml").write_text("compose: [synthetic_setrec.yaml]\n" + SETREC)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        main(["fit", "--config", "tiny.yaml"])
    return folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return trained


def asked_in(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    """Let this process ask itself to end behind the first call of a function."""
    usual = getattr(owner, name)

    def asking(*arguments: Any, **options: Any) -> Any:
        result = usual(*arguments, **options)
        os.kill(os.getpid(), signal.SIGTERM)
        return result

    monkeypatch.setattr(owner, name, asking)


MOMENTS: dict[str, tuple[str, Any, str]] = {
    "test, while it ranks": ("test --config tiny.yaml", RankingModule, "test_step"),
    "test, while it puts ranks down": ("test --config tiny.yaml", pl.DataFrame, "write_parquet"),
    "test, while it writes the ranks": ("test --config tiny.yaml", pl.LazyFrame, "sink_parquet"),
    "test, while it writes the results": ("test --config tiny.yaml", Path, "write_text"),
    "validate": ("validate --config tiny.yaml", RankingModule, "validation_step"),
    "predict, while it ranks": ("predict --config tiny.yaml", RankingModule, "predict_step"),
    "predict, while it puts lists down": ("predict --config tiny.yaml", pl.DataFrame, "write_parquet"),
    "predict, while it writes": ("predict --config tiny.yaml", ParquetWriter, "write_table"),
    "prepare, while it trains": ("prepare --config setrec.yaml", SASRec, "training_step"),
    "prepare, while it writes": ("prepare --config setrec.yaml", np, "save"),
    "prepare, while it looks": ("prepare --config setrec.yaml", AssetStore, "get"),
    "fit, while it builds": ("fit --config setrec.yaml", SASRec, "training_step"),
    "fit, while it reads": ("fit --config tiny.yaml", SASRec, "setup"),
    "recommend": ("recommend --run runs/tiny --history ''", SASRec, "rank"),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_nothing_is_half_written(name: str, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command, owner, function = MOMENTS[name]
    before = set(here.rglob("*"))
    asked_in(monkeypatch, owner, function)
    with pytest.raises(SystemExit) as exit_:
        main(shlex.split(command.replace("setrec.yaml", f"setrec.yaml --assets.root {tmp_path}")))
    assert exit_.value.code == CODE == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    left = {path.name for path in set(here.rglob("*")) - before if path.is_file()}
    whole = {"ranks.parquet"} if name == "test, while it writes the results" else set()
    assert left <= {"config.yaml", "hparams.yaml"} | whole
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".") and path.suffix != ".lock"]
    assert all(is_intact(folder) for folder in tmp_path.iterdir() if folder.is_dir() and folder.name != "cards")


def test_whoever_catches_what_ends_him_ends_all_the_same() -> None:
    with pytest.raises(SystemExit, match="143"), ends_when_asked(), contextlib.suppress(SystemExit):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_handler_of_ones_own_is_kept() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with ends_when_asked():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


CHILD = """
import pathlib, signal, sys, time
def end(*_):
    pathlib.Path("kept").write_text("all")
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_process_that_is_waited_for_is_asked_to_end_too(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], cwd=tmp_path, stdout=subprocess.PIPE)

    def wait() -> None:
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        _wait(child)

    assert child.stdout
    with child.stdout:
        child.stdout.readline()
        with pytest.raises(SystemExit, match="143"), ends_when_asked():
            wait()
    assert child.returncode == 143
    assert (tmp_path / "kept").read_text() == "all"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["study", "tune"])
def test_a_study_that_is_asked_to_end_lets_its_training_keep_what_it_has(command: str, here: Path) -> None:
    """Both processes end with 143; the training goes on, the trial is begun again."""
    name = f"mine_{command}"
    space = "space: {model.init_args.dim: [8]}\ntrials: 1\n" if command == "tune" else ""
    (here / f"{name}.yaml").write_text(f"config: tiny.yaml\n{space}set: {{trainer.max_epochs: 200, last.steps: 1}}\n")
    output = here / f"{name}.txt"
    process = forks.start("-m", "genrec", command, f"{name}.yaml", "--early_stopping=null", output=str(output))
    wait_for(lambda: any((here / "studies" / name).rglob("last.ckpt")))
    process.terminate()
    assert forks.end(process) == 143, output.read_text()
    assert output.read_text().splitlines()[-1] == "stopped: the same command goes on from here"
    (log,) = (here / "studies" / name).rglob("fit.log")
    assert "stopped by SIGTERM; the same command with `--requeue true` goes on" in log.read_text()
    (last,) = (here / "studies" / name).rglob("last.ckpt")
    assert torch.load(last, weights_only=True)["global_step"] > 0
    assert not list(last.parent.glob(".*"))


def wait_for(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.05)

"""Checkpoints that somebody changed: whatever reads them says it in one line, with exit code 2."""

from __future__ import annotations

import copy
import shlex
import sys
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from genrec.cli import main
from genrec.errors import GenrecError
from genrec.runs import restoring

TINY = """
compose: [synthetic_sasrec.yaml]
data: {batch_size: 9, source: {init_args: {users: 60, items: 120}}}
model: {init_args: {dim: 8}}
trainer: {enable_progress_bar: false, enable_model_summary: false, logger: false, max_epochs: 1}
"""
GONE = object()
STOPPING = "callbacks|Stopping{'monitor': 'val/ndcg@10', 'mode': 'max'}"
LOOP = "loops|fit_loop"
BATCHES = f"{LOOP}|epoch_loop.batch_progress"


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, L.Trainer]:
    """A folder with a run, and the trainer of one who goes on with it."""
    folder = tmp_path_factory.mktemp("restoring")
    (folder / "tiny.yaml").write_text(TINY)
    trainers: list[L.Trainer] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        main(["fit", "--config", "tiny.yaml"])
        patch.setattr(restoring, "check_state", lambda trainer, path: trainers.append(trainer))
        main(["fit", "--config", "tiny.yaml", "--ckpt_path", "last"])
    return folder, trainers[0]


def changed(checkpoint: Path, path: str, value: Any) -> dict[str, Any]:
    """What a checkpoint holds, with another value at a place."""
    contents: dict[str, Any] = copy.deepcopy(torch.load(checkpoint, weights_only=True))
    *above, last = path.split("|")
    part = contents
    for key in above:
        part = part[key]
    if value is GONE:
        del part[last]
    else:
        assert last in part
        part[last] = value
    return contents


STATES = [
    *[(path, value) for path in ("epoch", "global_step") for value in (GONE, "x", None, [], -1, 1.5)],
    *[(path, value) for path in ("loops", LOOP, "callbacks") for value in (GONE, "x", None, [], 3)],
    *[(f"{LOOP}|epoch_progress", value) for value in (GONE, "x", None, {}, [])],
    *[(BATCHES, value) for value in (GONE, "x", None, {}, [])],
    *[(f"{BATCHES}|current|ready", value) for value in (GONE, "x", None, -1)],
    *[("optimizer_states", value) for value in (GONE, "x", None, {})],
    *[("callbacks|Continuation", value) for value in (GONE, "x", None, {}, [])],
    *[(f"callbacks|Continuation|{key}", GONE) for key in ("epoch", "whole", "legs", "cpu", "gpus", "samples")],
    *[(f"{STOPPING}|{key}", value) for key in ("wait_count", "best_score") for value in (GONE, "x")],
]


@pytest.mark.parametrize(("path", "value"), STATES, ids=range(len(STATES)))
def test_a_state_that_is_none(resumed: tuple[Path, L.Trainer], tmp_path: Path, path: str, value: Any) -> None:
    folder, trainer = resumed
    (last,) = folder.glob("runs/tiny/*/checkpoints/last.ckpt")
    restoring.check_state(trainer, last)
    torch.save(changed(last, path, value), tmp_path / "last.ckpt")
    with pytest.raises(GenrecError, match=r"last.ckpt` is not a checkpoint to go on from: `.+` is missing or no such"):
        restoring.check_state(trainer, tmp_path / "last.ckpt")


def test_the_state_of_a_training_that_stopped_early_is_one(resumed: tuple[Path, L.Trainer], tmp_path: Path) -> None:
    folder, trainer = resumed
    (last,) = folder.glob("runs/tiny/*/checkpoints/last.ckpt")
    torch.save(changed(last, f"{STOPPING}|stopping_reason_message", "it was no better"), tmp_path / "last.ckpt")
    restoring.check_state(trainer, tmp_path / "last.ckpt")


COMMANDS = {
    "test": "test --config tiny.yaml --ckpt_path",
    "predict": "predict --config tiny.yaml --ckpt_path",
    "resume": "fit --config tiny.yaml --trainer.max_epochs 2 --ckpt_path",
    "recommend": "recommend --history '' --run",
}
VERSION = "pytorch-lightning_version"
ANY = ("test", "predict", "resume", "recommend")
READ: list[tuple[str, Any, tuple[str, ...], str]] = [
    (VERSION, GONE, ("test", "predict", "resume"), "was not written by genrec, or was changed since"),
    (VERSION, "x", ("test", "predict", "resume"), "was not written by genrec, or was changed since"),
    ("state_dict", GONE, ANY, "holds no `state_dict` of tensors"),
    ("state_dict", [], ANY, "holds no `state_dict` of tensors"),
    ("state_dict", {}, ANY, "settings"),
    ("trained_on", GONE, ANY, "does not say what it was trained on (`trained_on`), and it counts items by their rows"),
    ("trained_on", {}, ANY, "does not say what it was trained on (`trained_on` is damaged)"),
    ("trained_on", "x", ANY, "does not say what it was trained on (`trained_on` is damaged)"),
    ("loops", "x", ("resume",), "`loops` is missing or no such thing"),
    (f"{STOPPING}|stopping_reason", 999, ("resume",), "was not written by genrec, or was changed since"),
]


@pytest.mark.parametrize(
    ("path", "value", "command", "said"),
    [(path, value, command, said) for path, value, commands, said in READ for command in commands],
)
def test_whatever_reads_it_says_so(
    resumed: tuple[Path, L.Trainer],
    path: str,
    value: Any,
    command: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, _ = resumed
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (given,) = folder.glob("runs/tiny/*/checkpoints/best.ckpt")
    before = given.read_bytes()
    torch.save(changed(given, path, value), given)
    try:
        with pytest.raises(SystemExit) as exit_:
            main([*shlex.split(COMMANDS[command]), str(given.parents[1] if command == "recommend" else given)])
    finally:
        given.write_bytes(before)
    line = capsys.readouterr().err.splitlines()[-1]
    assert exit_.value.code == 2
    assert line.startswith("genrec: error: ")
    assert said in line

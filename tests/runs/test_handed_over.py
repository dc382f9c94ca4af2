"""Runs that somebody handed over: their configs and checkpoints are data, in every command that takes one."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
import yaml

from genrec import load
from genrec.cli import main
from genrec.errors import GenrecError

from ..served import SETREC, make_run, recommender
from ..serving.test_hostile import CALL, CODE, EVIL, Calls, place, refused, unharmed

CKPT, CONFIG = "checkpoints/best.ckpt", "config.yaml"
OWN = "from genrec.recommenders.references import Popularity\n\n\nclass Mine(Popularity):\n    pass\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("handed"), recommender(SETREC))
    contents = torch.load(run / CKPT, weights_only=True)
    torch.save({**contents, "pytorch-lightning_version": lightning.__version__}, run / CKPT)
    return run.parents[2]


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with code beside it, which is the working folder; what is read of its data is there."""
    shutil.copytree(made, tmp_path / "given")
    (run,) = (tmp_path / "given" / "runs" / "made_up").iterdir()
    (run / f"{EVIL}.py").write_text(CODE)
    monkeypatch.chdir(run)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in (EVIL, "my_own_module"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    change(run, "assets/root", str(tmp_path / "given" / "data" / "assets"))
    return run


def change(run: Path, path: str, value: Any) -> None:
    config = yaml.safe_load((run / CONFIG).read_text())
    place(config, path, value)
    (run / CONFIG).write_text(yaml.safe_dump(config))


def commands(run: Path) -> list[list[str]]:
    """Every command that takes a run."""
    checkpoint = str(run / CKPT)
    return [
        ["recommend", "--run", str(run), "--history", ""],
        ["inspect", str(run)],
        ["test", "--config", str(run / CONFIG)],
        *([command, "--config", "synthetic_setrec.yaml", "--ckpt_path", checkpoint] for command in EVALUATIONS),
    ]


EVALUATIONS = ("test", "validate", "predict")
IDENTIFIER = "model/init_args/identifier"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (IDENTIFIER, {"class_path": f"{EVIL}.Evil"}),
        (IDENTIFIER, f"{EVIL}.Evil"),
        (IDENTIFIER, {"class_path": CALL[0], "init_args": {"command": CALL[1]}}),
        ("data/source", {"class_path": f"{EVIL}.Evil"}),
        ("assets/cf", {"class_path": "runpy.run_path", "init_args": {"path_name": f"{EVIL}.py"}}),
    ],
    ids=["module", "short", "function", "source", "asset"],
)
def test_what_a_runs_config_names_is_not_run(
    path: str, value: Any, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(run, path, value)
    for command in commands(run):
        line = refused(capsys, *command)
        assert "config.yaml: `" in line, command
        assert "nothing that a folder names is imported, unless you trust it (`trust=True`, --trust)" in line


def test_an_optimiser_of_a_run_is_not_made(run: Path) -> None:
    change(run, "model/init_args/optimizer", {"class_path": f"{EVIL}.Evil", "init_args": {"x": 1}})
    assert load(run).recommend([[]], k=2).height == 2
    main(["test", "--config", "synthetic_setrec.yaml", "--ckpt_path", CKPT, "--trainer.enable_progress_bar=false"])
    unharmed()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("callbacks", [{"class_path": f"{EVIL}.Evil"}]),
        ("logger", {"class_path": f"{EVIL}.Evil"}),
        ("strategy", f"{EVIL}.Evil"),
        ("plugins", [f"{EVIL}.Evil"]),
    ],
)
def test_a_trainer_of_others(path: str, value: Any, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(run, "trainer", {path: value, "default_root_dir": "/nowhere", "precision": "32-true"})
    line = refused(capsys, "test", "--config", str(run / CONFIG))
    assert f"`trainer.{path}` is more than numbers and words" in line


@pytest.mark.parametrize("value", ["00:00:10:00", {"minutes": 10}])
def test_a_trainer_of_others_may_have_looked_at_the_clock(value: Any, run: Path) -> None:
    change(run, "trainer", {"max_time": value})
    main(["test", "--config", str(run / CONFIG), "--trainer.enable_progress_bar=false"])
    unharmed()


def write_tag(run: Path) -> None:
    (run / CONFIG).write_text(f"model: !!python/object/apply:os.system ['{CALL[1]}']\n")


def write_aliases(run: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (run / CONFIG).write_text("\n".join([*lines, "model: {class_path: Popularity, init_args: {ks: *a11}}"]))


def write_root(run: Path) -> None:
    change(run, "assets/root", str(run.parents[3] / "outside"))


def write_large(run: Path) -> None:
    (run / CONFIG).write_text("x: " + "a" * 2**21)


@pytest.mark.parametrize("write", [write_tag, write_aliases, write_root, write_large])
def test_a_hostile_config(write: Callable[[Path], None], run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(run)
    line = refused(capsys, "recommend", "--run", ".", "--history", "", outside=run.parents[3])
    assert "config.yaml" in line


@pytest.mark.parametrize(
    ("path", "value"),
    [("backbone/init_args/sizes/num_layers", 10**6), ("identifier/init_args/n_semantic", 10**6)],
)
def test_a_model_larger_than_its_checkpoint(
    path: str, value: int, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(run, f"model/init_args/{path}", value)
    assert "best.ckpt` cannot hold" in refused(capsys, "recommend", "--run", ".", "--history", "")


def save_call(path: Path) -> None:
    torch.save({"state_dict": Calls()}, path)


def save_old(path: Path) -> None:
    torch.save({"state_dict": Calls()}, path, _use_new_zipfile_serialization=False)


def save_foreign(path: Path) -> None:
    torch.save({"model": torch.zeros(2)}, path)


def save_other_things(path: Path) -> None:
    torch.save({"state_dict": {"weight": "none"}}, path)


def save_numbers_as_names(path: Path) -> None:
    torch.save({"state_dict": {5: torch.zeros(2)}}, path)


def save_compressed(path: Path) -> None:
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, part in {**parts, "best/data/999": bytes(2**24)}.items():
            new.writestr(name, part)


def save_module(path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), path)


def save_text(path: Path) -> None:
    path.write_text("not one")


def save_nothing(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "save",
    [
        save_call,
        save_old,
        save_foreign,
        save_other_things,
        save_numbers_as_names,
        save_compressed,
        save_module,
        save_text,
        save_nothing,
    ],
)
def test_a_checkpoint_of_others(save: Callable[[Path], None], run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(run / CKPT)
    resume = ["fit", "--config", "synthetic_setrec.yaml", "--ckpt_path", str(run / CKPT)]
    for command in [*commands(run), resume]:
        line = refused(capsys, *command)
        assert "best.ckpt` is not a checkpoint" in line, command
        assert save is not save_call or f"asks for {os.system.__module__}.system when it is read" in line


def test_a_checkpoint_names_no_class(run: Path) -> None:
    """Lightning builds what the hyperparameters of a checkpoint name."""
    contents = torch.load(run / CKPT, weights_only=True)
    torch.save({**contents, "hyper_parameters": {"_class_path": f"{EVIL}.Evil", "x": 1}}, run / CKPT)
    main(["test", "--config", CONFIG, "--trainer.enable_progress_bar=false"])
    unharmed()


def test_a_class_of_ones_own(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies in the working folder, and is found if its user trusts the run, or has imported it."""
    monkeypatch.chdir(tmp_path)
    Path("my_own_module.py").write_text(OWN)
    change(run, "model", {"class_path": "my_own_module.Mine"})
    with pytest.raises(GenrecError, match=r"`model` names `my_own_module\.Mine`, which is no RankingModule of"):
        load(run)
    assert "my_own_module" not in sys.modules
    assert load(run, trust=True).model.method == "Mine"
    # It is known by now.
    served = load(run)
    assert served.recommend([[]], k=2).height == 2
    served.save_pretrained("saved")
    assert load("saved").model.method == "Mine"


@pytest.mark.parametrize("command", ["recommend", "test"])
def test_trust_on_the_command_line(
    command: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_own_module.py").write_text(OWN)
    change(run, "model", {"class_path": "my_own_module.Mine"})
    arguments = {
        "recommend": ["recommend", "--run", str(run), "--history", "", "--k", "2"],
        "test": ["test", "--config", str(run / CONFIG), "--trainer.enable_progress_bar=false"],
    }[command]
    assert "no RankingModule" in refused(capsys, *arguments)
    main([*arguments, "--trust"])
    # What it trusts is what it names: still a class of the right kind.
    change(run, "model", {"class_path": f"{EVIL}.Evil"})
    if command == "recommend":
        with pytest.raises(SystemExit):
            main([*arguments, "--trust"])
        assert EVIL not in sys.modules


def test_what_one_types_oneself_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config with a class in the working folder, as it is trained and tested with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_own_module", raising=False)
    Path("my_own_module.py").write_text(OWN)
    source = {"class_path": "Synthetic", "init_args": {"users": 150, "items": 140}}
    mine = {"model": {"class_path": "my_own_module.Mine"}, "data": {"source": source}}
    Path("mine.yaml").write_text(yaml.safe_dump(mine))
    main(["test", "--config", "mine.yaml", "--trainer.enable_progress_bar=false"])
    (metrics,) = Path("runs").rglob("metrics.json")
    assert '"Mine"' in metrics.read_text()

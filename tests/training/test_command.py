"""What a training leaves behind: whatever ends it, and whatever it was told."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from filelock import FileLock

from genrec import load
from genrec.cli import main
from genrec.errors import GenrecError
from genrec.recommenders.references import ItemKNN
from genrec.recommenders.sasrec import SASRec
from genrec.runs import layout
from genrec.runs.results import load_results
from genrec.training.whole_files import WholeFiles

TINY = (
    "data: {batch_size: 9, source: {init_args: {users: 60, items: 120}}}\n"
    "trainer: {enable_progress_bar: false, enable_model_summary: false, logger: csv}\n"
)
SETREC = TINY + "assets: {cf: {init_args: {max_epochs: 1}}}\n"
BATCHES = 7
"""Of an epoch."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "tiny.yaml").write_text("compose: [synthetic_sasrec.yaml]\n" + TINY)
    (tmp_path / "setrec.yaml").write_text("compose: [synthetic_setrec.yaml]\n" + SETREC)
    yield tmp_path
    torch.set_float32_matmul_precision("highest")


def genrec(command: str) -> None:
    main(shlex.split(command))


def the_run(config: str = "tiny") -> Path:
    (run,) = Path("runs", config).iterdir()
    return run


def complaint(capsys: pytest.CaptureFixture[str], command: str) -> str:
    """What a command that is refused says: one line, exit code 2, no run."""
    with pytest.raises(SystemExit) as exit_:
        genrec(command)
    said = capsys.readouterr().err.splitlines()
    assert exit_.value.code == 2
    assert said[-1].startswith("genrec: error: ")
    assert not any("Traceback" in line for line in said)
    assert not Path("runs").exists()
    return said[-1]


# However a training ends, it can be tested


@pytest.mark.parametrize(
    ("ends", "step", "validations"),
    [
        ("--trainer.max_steps 3", 3, 1),
        ("--trainer.max_steps 3 --early_stopping null", 3, 1),
        (f"--trainer.max_steps {BATCHES + 2}", BATCHES + 2, 2),
        ("--trainer.max_epochs 2 --trainer.check_val_every_n_epoch 5", 2 * BATCHES, 1),
        ("--trainer.max_epochs 1 --trainer.limit_train_batches 4", 4, 1),
        ("--trainer.max_epochs 1 --trainer.val_check_interval 4", BATCHES, 2),
        ("--trainer.max_steps 2 --trainer.accumulate_grad_batches 2", 2, 1),
    ],
)
def test_what_a_training_ends_with_is_validated_and_can_be_tested(
    ends: str, step: int, validations: int, capsys: pytest.CaptureFixture[str]
) -> None:
    genrec(f"fit --config tiny.yaml {ends}")
    said = capsys.readouterr().out
    assert len(re.findall("val/ndcg@10", said)) == validations
    checkpoints = the_run() / "checkpoints"
    assert {path.name for path in checkpoints.iterdir()} == {"best.ckpt", "last.ckpt"}
    assert torch.load(checkpoints / "last.ckpt", weights_only=True)["global_step"] == step
    genrec("test --config tiny.yaml")
    assert load_results(the_run())["settings"]["all"]["users"] > 0


def test_the_clock_may_end_a_training_of_any_length(capsys: pytest.CaptureFixture[str]) -> None:
    endless = "--trainer.max_epochs -1 --model.init_args.schedule constant"
    genrec(f"fit --config setrec.yaml {endless} --trainer.max_time 00:00:00:01")
    assert "val/ndcg@10" in capsys.readouterr().out.splitlines()[-2], "in the middle of an epoch"
    genrec("test --config setrec.yaml")


def test_the_language_models_of_newcomers_end_before_their_first_validation(here: Path) -> None:
    genrec("fit --config setrec.yaml --trainer.max_steps 2")
    genrec("test --config setrec.yaml")
    assert load_results(the_run("setrec"))["method"] == "SETRec"


def test_training_on_everything_keeps_the_last_state(capsys: pytest.CaptureFixture[str]) -> None:
    genrec("fit --config setrec.yaml --trainer.limit_val_batches 0 --trainer.max_steps 3")
    said = capsys.readouterr().out
    assert (
        said.count("best.ckpt is the last state, and what validation would choose, such as SETRec's beta, stays") == 1
    )
    best = torch.load(the_run("setrec") / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == 3
    assert best["state_dict"]["identifier.beta"] == pytest.approx(0.6), "the middle one"
    genrec("test --config setrec.yaml")


def test_without_checkpoints_there_is_nothing_to_test(capsys: pytest.CaptureFixture[str]) -> None:
    genrec("fit --config tiny.yaml --trainer.max_steps 1 --trainer.enable_checkpointing false")
    assert "no checkpoint is kept (`trainer.enable_checkpointing: false`): `genrec test`" in capsys.readouterr().out
    assert not (the_run() / "checkpoints").exists()
    with pytest.raises(SystemExit):
        genrec("test --config tiny.yaml")
    assert "run `genrec fit` with the same config first" in capsys.readouterr().err


def test_trying_out_leaves_no_run() -> None:
    genrec("fit --config tiny.yaml --trainer.fast_dev_run true")
    assert not Path("runs").exists()


# What cannot be, in one line


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("--trainer.accelerator quantum", "invalid accelerator name: `accelerator='quantum'`. Available names are"),
        ("--trainer.devices 0", "`Trainer(devices='0')` value is not a valid input"),
        ("--trainer.strategy foo", "invalid strategy name: `strategy='foo'`"),
        ("--trainer.precision foo", "config key `trainer.precision`: expected transformer-engine, "),
        ("--trainer.max_steps 0", "with `trainer.max_steps: 0` there is nothing to train"),
        ("--trainer.limit_train_batches 0", "with `trainer.limit_train_batches: 0` there is nothing to train"),
        ("--checkpoint null", "config key `checkpoint` holds other keys: it cannot be `null`"),
        ("--early_stopping.patience many", "`early_stopping.patience`: expected a whole number, not `many`"),
        ("--float32_matmul low", "`float32_matmul`: expected highest, high or medium, not `low`"),
        (
            "--trainer.logger tensorbord",
            "a class of Logger, true, false or null, not `tensorbord`; did you mean `tensorboard`?",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(capsys: pytest.CaptureFixture[str], keys: str, reason: str) -> None:
    assert reason in complaint(capsys, f"fit --config tiny.yaml {keys}")


@pytest.mark.parametrize("logger", ["wandb", "WandbLogger", "[csv,mlflow]"])
def test_a_logger_whose_package_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, logger: str
) -> None:
    for module in ("wandb", "mlflow"):
        monkeypatch.setattr(f"lightning.pytorch.loggers.{module}._{module.upper()}_AVAILABLE", Missing(module))
    said = complaint(capsys, f"fit --config tiny.yaml --trainer.logger {logger}")
    assert re.search(r"needs a package that is not there: pip install (wandb|mlflow)$", said)


class Missing:
    """A package that is not installed, as Lightning sees it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return f"Requirement '{self.name}>=1' not met. HINT: Try running `pip install -U '{self.name}>=1'`"


@pytest.mark.parametrize("command", ["fit --config tiny.yaml", "test --config synthetic_itemknn.yaml"])
def test_out_of_memory(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee ...")

    monkeypatch.setattr(SASRec, "training_step", full)
    monkeypatch.setattr(ItemKNN, "rank", full)
    with pytest.raises(SystemExit) as exit_:
        genrec(command)
    assert exit_.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.search("out of memory: in training, lower `data.batch_size`.*in ranking, `data.rank_batch_size`", said)


# Keys of the command line


def test_the_precision_of_products_is_a_key() -> None:
    genrec("fit --config tiny.yaml --trainer.max_steps 1 --float32_matmul high")
    assert torch.get_float32_matmul_precision() == "high"
    assert yaml.safe_load((the_run() / "config.yaml").read_text())["float32_matmul"] == "high"


def test_one_device_unless_told_otherwise(here: Path) -> None:
    genrec("fit --config tiny.yaml --trainer.max_steps 1")
    assert yaml.safe_load((the_run() / "config.yaml").read_text())["trainer"]["devices"] == 1
    assert json.loads((the_run() / "fit.json").read_text())["training"][0]["processes"] == 1


def test_loggers_by_name_have_the_config(here: Path) -> None:
    genrec("fit --config tiny.yaml --trainer.max_steps 1 --trainer.logger [csv,tensorboard] --data.seed 7")
    for file in ("logs/version_0/hparams.yaml", "tensorboard/hparams.yaml"):
        assert yaml.safe_load((the_run() / file).read_text())["data.seed"] == 7
    assert list((the_run() / "tensorboard").glob("events.*"))


def test_what_is_measured_is_a_key_of_an_evaluation(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = "test --config synthetic_contentknn.yaml --measure"
    assert "unknown config key `measure.metric`; did you mean `metrics`?" in complaint(capsys, f"{test}.metric [map]")
    assert "`precision` is no metric that is measured: those are" in complaint(capsys, f"{test}.metrics [precision]")
    kept_by = "--measure.metrics [recall,ndcg,mrr] --checkpoint.monitor val/mrr@10"
    genrec(f"fit --config tiny.yaml --trainer.max_steps 1 {kept_by}")
    genrec("test --config tiny.yaml --measure.metrics [ndcg,recall,map,coverage,gini,popularity,diversity]")
    genrec("test --config synthetic_contentknn.yaml --data.source.users 60 --data.source.items 120 --measure.new true")
    first = json.loads((the_run() / "metrics.json").read_text())
    assert first["overrides"] == [], "the training was the same"
    assert list(first["settings"]["all"])[::2] == [
        *(f"{name}@5" for name in ("recall", "ndcg", "map", "coverage", "gini", "popularity", "diversity")), "users"
    ]  # fmt: skip
    shown = capsys.readouterr().out
    assert " MAP@10 " in shown
    assert " Gini@10 " in shown
    assert re.search("│ all-new +│ ContentKNN", shown)
    genrec("test --config tiny.yaml")
    again = json.loads((the_run() / "metrics.json").read_text())["settings"]["all"]
    assert list(again) == ["recall@5", "recall@10", "ndcg@5", "ndcg@10", "users"], (
        "the usual, unless it is asked for more"
    )


# Stopped and started again


def steps(run: Path) -> int:
    return int(torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"])


def stop_at(monkeypatch: pytest.MonkeyPatch, hook: str, count: int) -> None:
    """Let a process ask itself to end, as a scheduler would, in the middle of a hook's so-manieth call."""
    usual, calls = getattr(SASRec, hook), []

    def stopping(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGTERM)
        return usual(self, *arguments)

    monkeypatch.setattr(SASRec, hook, stopping)


@pytest.mark.parametrize(("hook", "count", "step"), [("training_step", 3, 3), ("validation_step", 2, BATCHES)])
def test_a_training_that_is_asked_to_end_goes_on_in_its_run(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hook: str, count: int, step: int
) -> None:
    fit = "fit --config tiny.yaml --trainer.max_epochs 2 --data.rank_batch_size 8"
    genrec(f"{fit} --runs whole")
    with monkeypatch.context() as patched:
        stop_at(patched, hook, count)
        with pytest.raises(SystemExit) as exit_:
            genrec(fit)
    assert exit_.value.code == 128 + signal.SIGTERM
    run = the_run()
    assert f"`--requeue true` goes on in {run}" in capsys.readouterr().out
    assert steps(run) == step
    assert not (run / "fit.json").exists(), "it has not finished"

    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    genrec(fit)
    assert the_run() == run
    assert len(re.findall("val/ndcg@10", capsys.readouterr().out)) == 2, "of each epoch, from its beginning"
    (whole,) = Path("whole", "tiny").iterdir()
    ended, expected = (torch.load(each / "checkpoints" / "last.ckpt", weights_only=True) for each in (run, whole))
    assert ended["global_step"] == expected["global_step"] == 2 * BATCHES
    for name, value in expected["state_dict"].items():
        torch.testing.assert_close(ended["state_dict"][name], value, rtol=0, atol=0, equal_nan=True)
    found, wanted = (json.loads((each / "fit.json").read_text()) for each in (run, whole))
    assert found["examples"] == wanted["examples"], "also those before it was stopped"


def test_what_is_requeued_is_an_unfinished_run_of_the_same_settings(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = "fit --config tiny.yaml --trainer.max_epochs 1 --requeue true"
    genrec(f"{fit} --last.steps 2")
    first = the_run()
    assert steps(first) == BATCHES
    genrec(fit)
    assert len(list(first.parent.iterdir())) == 2, "the first one has finished"
    (first / "fit.json").unlink()
    genrec(f"{fit} --seed_everything 1")
    assert len(list(first.parent.iterdir())) == 3, "with another seed it is another run"
    genrec(f"{fit} --last.minutes 5 --data.num_workers 0")
    assert len(list(first.parent.iterdir())) == 3
    assert (first / "fit.json").exists()


@pytest.mark.parametrize("often", ["--last.steps 3", "--last.minutes 0"])
def test_the_last_state_is_written_in_the_middle_of_an_epoch(
    here: Path, monkeypatch: pytest.MonkeyPatch, often: str
) -> None:
    written: list[int] = []
    save = WholeFiles.save_checkpoint

    def noting(self: WholeFiles, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        save(self, checkpoint, path, storage_options)
        if Path(path).name == "last.ckpt":
            written.append(checkpoint["global_step"])

    monkeypatch.setattr(WholeFiles, "save_checkpoint", noting)
    genrec(f"fit --config tiny.yaml --trainer.max_epochs 1 {often}")
    expected = [3, 6, BATCHES] if "steps" in often else list(range(1, BATCHES + 1))
    assert written == expected


def test_a_checkpoint_is_whole_or_the_one_before(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = here / "last.ckpt"
    WholeFiles().save_checkpoint({"step": 1}, file)

    def killed(checkpoint: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        WholeFiles().save_checkpoint({"step": 2}, file)
    assert torch.load(file, weights_only=True) == {"step": 1}
    assert list(here.glob("*ckpt*")) == [file]


def test_a_full_disk_leaves_the_checkpoint_before(here: Path) -> None:
    file = here / "last.ckpt"
    WholeFiles().save_checkpoint({"step": 1}, file)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, usual[1]))
    try:
        with pytest.raises(GenrecError, match=r"cannot write `.*last.ckpt`: "):
            WholeFiles().save_checkpoint({"step": torch.zeros(10_000)}, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert torch.load(file, weights_only=True) == {"step": 1}
    assert list(here.glob("*ckpt*")) == [file]


def test_what_slurm_made_lightning_write_is_gone_on_from(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genrec("fit --config tiny.yaml --trainer.max_epochs 1")
    run = the_run()
    (run / "fit.json").unlink()
    (run / "checkpoints" / "last.ckpt").rename(run / "hpc_ckpt_1.ckpt")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    genrec("fit --config tiny.yaml --trainer.max_epochs 1 --requeue true")
    assert the_run() == run


# Damaged checkpoints


def cut(file: Path) -> None:
    """What `head -c 1000` leaves."""
    file.write_bytes(file.read_bytes()[:1000])


def flip(file: Path) -> None:
    """One bit of the largest tensor."""
    with zipfile.ZipFile(file) as parts:
        largest = max(parts.infolist(), key=lambda part: part.file_size)
    content = bytearray(file.read_bytes())
    content[largest.header_offset + largest.file_size // 2 + 100] ^= 4
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip])
def test_a_training_goes_on_from_the_newest_whole_checkpoint(
    damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    genrec("fit --config tiny.yaml --trainer.max_epochs 1")
    checkpoints = the_run() / "checkpoints"
    damage(checkpoints / "last.ckpt")
    genrec("fit --config tiny.yaml --trainer.max_epochs 2 --ckpt_path last")
    said = capsys.readouterr().out
    assert f"damaged in {the_run()}: last.ckpt; going on from best.ckpt, the newest that is whole" in said
    assert torch.load(checkpoints / "last.ckpt", weights_only=True)["global_step"] == 2 * BATCHES

    for file in checkpoints.iterdir():
        damage(file)
    for command, file in (("test", "best.ckpt"), ("fit --ckpt_path last", "last.ckpt"), ("predict", "best.ckpt")):
        with pytest.raises(SystemExit) as exit_:
            genrec(f"{command} --config tiny.yaml")
        line = capsys.readouterr().err.splitlines()[-1]
        assert exit_.value.code == 2
        assert re.match(r"genrec: error: .*(damaged|is not a checkpoint, or not a whole one)", line), line
        assert file in line
    with pytest.raises(GenrecError, match=r"best.ckpt` is (damaged|not a checkpoint)"):
        load(the_run())


# Runs that are found by the name of a config


def test_a_config_without_a_model_names_no_run(here: Path) -> None:
    (here / "more.yaml").write_text("data: {batch_size: 8}")
    genrec("fit --config tiny.yaml --config more.yaml --trainer.max_epochs 1")
    assert the_run("tiny")
    assert not Path("runs/more").exists()
    genrec("test --config tiny.yaml --config more.yaml")
    assert (the_run("tiny") / "metrics.json").is_file()


def test_a_run_of_another_method_is_not_taken_for_one_of_this(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    genrec("fit --config tiny.yaml --trainer.max_epochs 1")
    (here / "tiny.yaml").write_text("compose: [synthetic_gru4rec.yaml]")
    with pytest.raises(SystemExit):
        genrec("test --config tiny.yaml")
    run = the_run()
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"genrec: error: the newest run, {run}, is of SASRec, and the config is of GRU4Rec: train")
    assert not (run / "metrics.json").exists()
    genrec(f"test --config tiny.yaml --ckpt_path {run}/checkpoints/best.ckpt")
    assert json.loads((run / "metrics.json").read_text())["method"] == "SASRec", "the settings are the run's"


# Two that write together


def test_a_run_that_is_being_trained_is_not_trained_again(capsys: pytest.CaptureFixture[str]) -> None:
    genrec("fit --config tiny.yaml --trainer.max_epochs 1")
    run = the_run()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with FileLock(run / layout.LOCK):
        before[run / layout.LOCK] = 0
        with pytest.raises(SystemExit) as exit_:
            genrec("fit --config tiny.yaml --trainer.max_epochs 2 --ckpt_path last")
        after = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert exit_.value.code == 2
    assert f"another process trains in {run}" in capsys.readouterr().err.splitlines()[-1]
    assert {**after, run / layout.LOCK: 0} == before
    genrec("fit --config tiny.yaml --trainer.max_epochs 2 --ckpt_path last")
    assert not (run / layout.LOCK).exists()

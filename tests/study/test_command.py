from __future__ import annotations

import contextlib
import csv
import errno
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest
import torch
import yaml

from genrec.analysis.report import report
from genrec.errors import GenrecError
from genrec.runs import layout
from genrec.runs.results import load_run
from genrec.study.command import study
from genrec.study.processes import claim
from genrec.study.results import _draw as DRAW

from .fakes import Fake, resolve

N = "model.init_args.identifier.init_args.n_semantic"
TEXT = """
configs: [toys_popularity.yaml, toys_setrec_small.yaml]
seeds: [1, 2]
set: {trainer.max_epochs: 1}
"""
ABLATION = f"""
config: toys_setrec_small.yaml
seeds: [1, 2]
variants: {{SETRec: {{}}, w/o Sem: {{{N}: 0}}}}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("genrec.study.cells.learns", lambda class_path: class_path == "Recommender")
    monkeypatch.setattr("genrec.study.results._draw", lambda *_: None)  # a second a figure
    return tmp_path


def go(text: str, fake: Fake, *more: str, fails: bool = False) -> None:
    Path("mine.yaml").write_text(text)
    with pytest.raises(SystemExit, match="1") if fails else contextlib.nullcontext():
        study(["mine.yaml", *more], resolve, fake)


def best_of(cell: str) -> Path:
    """The checkpoint of a cell with one run."""
    (best,) = Path("studies/mine/toys_setrec_small", cell).glob("*/checkpoints/best.ckpt")
    return best


def test_every_cell_is_fitted_and_tested_once(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(lambda config: config["seed_everything"] / 10)
    go(TEXT, fake)
    assert fake.calls == [
        "test toys_popularity/seed1",
        "fit toys_setrec_small/seed1",
        "test toys_setrec_small/seed1",
        "fit toys_setrec_small/seed2",
        "test toys_setrec_small/seed2",
    ], "what learns nothing needs no seeds"
    said = capsys.readouterr().out
    assert "[1/3] toys_popularity/seed1 (to run) ..." in said
    assert re.search(r"all *│ SETRec \(2 seeds\) │ 0.1500 ± 0.0707", said), "(0.1 + 0.2) / 2"
    run = load_run("studies/mine/toys_setrec_small/seed2")
    assert run.config["trainer"]["max_epochs"] == 1
    assert run.config["seed_everything"] == 2
    report(["studies/mine/toys_popularity/seed1", "studies/mine/toys_setrec_small/seed1"])

    fake.calls.clear()
    go(TEXT, fake)
    assert fake.calls == []
    assert "│ SETRec (2 seeds) │ 0.1500" in capsys.readouterr().out


def test_results_are_written_anew(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrec.study.results._draw", DRAW)
    go(
        ABLATION,
        Fake(lambda config: 0.25 if config["model"]["init_args"]["identifier"]["init_args"]["n_semantic"] else 0.125),
    )
    folder = here / "studies" / "mine"
    text = (folder / "results.md").read_text()
    assert text.startswith("# mine\n")
    assert "| all | SETRec (2 seeds) | **0.2500** ± 0.0000 |" in text
    assert "| all | w/o Sem (2 seeds) | <u>0.1250</u> ± 0.0000 |" in text
    with (folder / "results.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["metric"] == "ndcg@10" and line["setting"] == "cold"]
    assert [(line["method"], float(line["mean"]), line["runs"]) for line in lines] == [
        ("SETRec (2 seeds)", 0.25, "2"),
        ("w/o Sem (2 seeds)", 0.125, "2"),
    ]
    names = {path.name for path in folder.iterdir()}
    assert names == {"toys_setrec_small", "results.md", "results.csv", "figures"}
    go(ABLATION, Fake())
    assert {path.name for path in folder.iterdir()} == names
    assert sorted(path.name for path in (folder / "figures").iterdir()) == [
        f"synthetic_{name}.{suffix}" for name in ("seconds", "settings") for suffix in ("pdf", "png")
    ]


def test_a_sweep_is_drawn(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrec.study.results._draw", DRAW)
    go(f"config: toys_setrec_small.yaml\nsweep: {{{N}: [1, 2, 3]}}", Fake())
    assert (here / "studies" / "mine" / "figures" / "synthetic_n_semantic.png").is_file()


def test_a_sweep_that_changes_the_data_says_why_it_is_not_drawn(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("genrec.study.results._draw", DRAW)
    fake = Fake()
    fake.users = lambda config: config["data"]["max_users"]
    go("config: toys_setrec_small.yaml\nsweep: {data.max_users: [8, 9]}", fake)
    assert "no figure over `data.max_users`: with every value the data are others" in capsys.readouterr().out
    figures = {path.name for path in (here / "studies" / "mine" / "figures").glob("*.png")}
    assert figures == {f"synthetic_test_{users}_users_99_items_seconds.png" for users in (8, 9)}


def test_the_command_line_is_for_every_cell_and_less_special_than_a_variant() -> None:
    go(ABLATION.replace("SETRec: {}", f"SETRec: {{{N}: 5}}"), Fake(), "--trainer.max_epochs", "7", f"--{N}=3")
    for variant, expected in (("SETRec", 5), ("w-o-Sem", 0)):
        config = load_run(f"studies/mine/toys_setrec_small/{variant}/seed1").config
        assert config["trainer"]["max_epochs"] == 7
        assert config["model"]["init_args"]["identifier"]["init_args"]["n_semantic"] == expected


def test_a_failed_cell_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    fake.fails = lambda command, config: command == "fit" and config["seed_everything"] == 1
    go(TEXT, fake, fails=True)
    assert fake.calls[-1] == "test toys_setrec_small/seed2"
    said = capsys.readouterr()
    log = "studies/mine/toys_setrec_small/seed1/fit.log"
    assert f"toys_setrec_small/seed1: fit: ValueError: no (see {log})" in said.err
    assert "2 of 3 cells are done" in said.out
    assert "2 of 3 cells are done" in Path("studies/mine/results.md").read_text()

    fake.calls.clear()
    fake.fails = lambda command, config: False
    go(TEXT, fake)
    assert fake.calls == ["fit toys_setrec_small/seed1", "test toys_setrec_small/seed1"], "it is tried again"
    assert "2 of 3" not in Path("studies/mine/results.md").read_text()


@pytest.mark.parametrize(
    ("killed", "left"),
    [
        ("fit", ["resume toys_setrec_small/seed2", "test toys_setrec_small/seed2"]),
        ("test", ["test toys_setrec_small/seed2"]),
    ],
)
def test_a_killed_study_goes_on_where_it_stopped(
    killed: str, left: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Fake()
    fake.dies = lambda command, config: command == killed and config["seed_everything"] == 2
    Path("mine.yaml").write_text(TEXT)
    with pytest.raises(SystemExit, match="130"):
        study(["mine.yaml"], resolve, fake)
    assert "the same command goes on" in capsys.readouterr().err
    fake.calls.clear()
    fake.dies = lambda command, config: False
    go(TEXT, fake, "--dry-run")
    said = capsys.readouterr().out
    assert re.search(
        rf"seed2 +{'to resume' if killed == 'fit' else 'to test'} studies/mine/toys_setrec_small/seed2/20", said
    )
    go(TEXT, fake)
    # The last config that the command is given is the cell's.
    assert [re.sub(r"seed2$", "seed2", call) for call in fake.calls] == left
    assert len(list(Path("studies/mine/toys_setrec_small/seed2").glob("*/config.yaml"))) == 1


def test_a_cell_with_nothing_whole_to_go_on_from_begins_anew() -> None:
    fake = Fake()
    fake.dies = lambda command, config: config["seed_everything"] == 2
    Path("mine.yaml").write_text(TEXT)
    with pytest.raises(SystemExit, match="130"):
        study(["mine.yaml"], resolve, fake)
    (last,) = Path("studies/mine/toys_setrec_small/seed2").glob("*/checkpoints/last.ckpt")
    last.write_bytes(last.read_bytes()[:100])
    fake.calls.clear()
    fake.dies = lambda command, config: False
    go(TEXT, fake)
    assert fake.calls == ["fit toys_setrec_small/seed2", "test toys_setrec_small/seed2"]


def test_a_cell_whose_best_checkpoint_is_damaged_is_trained_again(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a training that has finished, where only the test is missing."""
    fake = Fake()
    fake.fails = lambda command, config: command == "test" and config["seed_everything"] == 2
    go(TEXT, fake, fails=True)
    best = best_of("seed2")
    best.write_bytes(best.read_bytes()[:100])
    fake.calls.clear()
    fake.fails = lambda command, config: False
    go(TEXT, fake)
    assert fake.calls == ["fit toys_setrec_small/seed2", "test toys_setrec_small/seed2"]
    assert f"toys_setrec_small/seed2 (to run anew, {best} is damaged)" in capsys.readouterr().out


def test_what_is_tested_again_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    text = "config: toys_setrec_small.yaml\nretest: {x.betas: [[0.1]]}"
    fake = Fake()
    fake.fails = lambda command, config: config.get("x") is not None
    go(text, fake, fails=True)
    best = best_of("chosen-on-validation/seed42")
    # The same file under two names.
    best.write_bytes(best.read_bytes()[:100])
    fake.calls.clear()
    fake.fails = lambda command, config: False
    go(text, fake, fails=True)
    assert f"{best} is damaged: remove {best.parents[1]}, and the same command trains it" in capsys.readouterr().err
    shutil.rmtree(best.parents[1])
    go(text, fake)
    assert fake.calls == [
        "fit chosen-on-validation/seed42",
        "test chosen-on-validation/seed42",
        "test betas=0.1/seed42",
    ]


def test_changed_settings_are_told_and_never_mixed(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(lambda config: config["trainer"]["max_epochs"] / 10)
    go(TEXT, fake)
    capsys.readouterr()
    go(TEXT, fake, "--trainer.max_epochs=3", "--dry-run")
    said = capsys.readouterr().out
    assert said.count("to run anew, its settings have changed (trainer.max_epochs: 1 -> 3)") == 3
    go(TEXT, fake, "--trainer.max_epochs=3")
    assert "(to run anew, its settings have changed (trainer.max_epochs: 1 -> 3)) ..." in (
        said := capsys.readouterr().out
    )
    assert "│ SETRec (2 seeds) │ 0.3000" in said
    fake.calls.clear()
    go(TEXT, fake)
    assert fake.calls == [], "the runs of before are still there"
    assert "│ SETRec (2 seeds) │ 0.1000" in capsys.readouterr().out


def test_what_is_measured_since_is_tested_again_and_not_trained(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    go(TEXT, fake)
    fake.calls.clear()
    asked = "--measure.metrics=[ndcg,mrr]", "--measure.new=true"
    go(TEXT, fake, *asked, "--dry-run")
    assert capsys.readouterr().out.count("to test again, for mrr, all-new studies/mine/") == 3
    go(TEXT, fake, *asked)
    tested = ["test toys_popularity/seed1", "test toys_setrec_small/seed1", "test toys_setrec_small/seed2"]
    assert fake.calls == tested
    said = capsys.readouterr().out
    assert "toys_setrec_small/seed2 (to test again, for mrr, all-new) ..." in said
    assert "all 3 cells are done" in said
    fake.calls.clear()
    go(TEXT, fake, *asked)
    go(TEXT, fake)
    assert fake.calls == [], "nobody asks for more than was measured"


def test_what_is_tested_again_in_vain_stays_in_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    go(TEXT, fake)
    fake.fails = lambda command, config: True
    capsys.readouterr()
    go(TEXT, fake, "--measure.metrics=[ndcg,mrr]", fails=True)
    said = capsys.readouterr().out
    assert "│ SETRec (2 seeds) │ 0.5000" in said
    assert "0 of 3 cells are done" in said


RETEST = "config: toys_setrec_small.yaml\nretest: {x.betas: [[0.1], [0.2]]}"


@pytest.mark.parametrize(
    ("text", "cell", "calls", "row"),
    [
        (TEXT, "seed2", ["toys_popularity/seed1", "toys_setrec_small/seed1"], "SETRec (2 seeds)"),
        (RETEST, "betas=0.2/seed42", ["chosen-on-validation/seed42", "betas=0.1/seed42"], "betas=0.2"),
    ],
)
def test_without_a_checkpoint_nothing_is_trained_for_a_metric(
    text: str, cell: str, calls: list[str], row: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Fake()
    go(text, fake)
    best_of(cell).unlink()
    fake.calls.clear()
    go(text, fake, "--measure.metrics=[ndcg,mrr]")
    assert fake.calls == [f"test {call}" for call in calls]
    assert row in capsys.readouterr().out.rpartition("┡")[2], "in the table"
    go(text, fake, "--measure.metrics=[ndcg,mrr]", "--dry-run")
    said = capsys.readouterr().out
    assert re.search(rf"{cell} +done, without mrr, and without a checkpoint to measure it of studies/mine/", said)


def test_a_retest_of_a_training_whose_checkpoint_is_gone_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    go("config: toys_setrec_small.yaml\nretest: {x.betas: [[0.1]]}", fake)
    best = best_of("chosen-on-validation/seed42")
    best.unlink()
    go(RETEST, fake, fails=True)
    said = capsys.readouterr().err
    assert f"seed42 has no checkpoint: remove {best.parents[1]}, and the same command trains it again" in said
    shutil.rmtree(best.parents[1])
    go(RETEST, fake)


class Killed(Fake):
    """Its first training ends in the middle: there is a best checkpoint, and the last one, and no end."""

    def __call__(self, arguments: Sequence[str], log: Path, lock: IO[str]) -> str | None:
        reason = super().__call__(arguments, log, lock)
        if len(self.calls) > 1 or arguments[0] != "fit":
            return reason
        (end,) = Path("studies").rglob(layout.FIT)
        end.unlink()
        return "killed by SIGKILL"


def test_the_checkpoint_of_a_training_that_was_killed_is_not_tested(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Killed()
    go(RETEST, fake, fails=True)
    assert fake.calls == ["fit chosen-on-validation/seed42"]
    assert capsys.readouterr().err.count("seed42 has not been trained to its end") == 2
    fake.calls[:] = ["before"]
    go(RETEST, fake)
    trained = [f"{call} chosen-on-validation/seed42" for call in ("resume", "test")]
    assert fake.calls[1:] == [*trained, "test betas=0.1/seed42", "test betas=0.2/seed42"]


def test_what_is_trained_anew_is_tested_anew(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    go(RETEST, fake)
    best = best_of("chosen-on-validation/seed42")
    content = best.read_bytes()
    # A copy of the same checkpoint, on another disk, is the same one.
    best.unlink()
    best.write_bytes(content)
    fake.calls.clear()
    go(RETEST, fake)
    assert fake.calls == []
    best.unlink()
    torch.save({"state_dict": {"more": torch.ones(1)}}, best)
    capsys.readouterr()
    go(RETEST, fake, "--dry-run")
    assert capsys.readouterr().out.count("settings have changed (the checkpoint, which was trained on, or anew)") == 2
    go(RETEST, fake)
    assert fake.calls == ["test betas=0.1/seed42", "test betas=0.2/seed42"]
    go(RETEST, fake)
    assert len(fake.calls) == 2


def test_a_retest_waits_for_a_training_of_another_process(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    with claim(Path("studies/mine/toys_setrec_small/chosen-on-validation/seed42")):
        go(RETEST, fake)
    assert fake.calls == []
    said = capsys.readouterr().out
    assert said.count("waits for toys_setrec_small/chosen-on-validation/seed42, which is being run by another") == 2


def test_where_files_cannot_have_two_names_the_checkpoint_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("genrec.study.cells.os.link", refuse)
    go(RETEST, Fake())
    first, *others = Path("studies/mine").glob("*/*/*/*/checkpoints/best.ckpt")
    assert len(others) == 2
    assert all(other.read_bytes() == first.read_bytes() for other in others)


def test_a_run_whose_config_is_empty_is_damaged(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    go(TEXT, fake)
    (config,) = Path("studies/mine/toys_setrec_small/seed2").glob("*/config.yaml")
    config.write_text("")
    go(TEXT, fake, "--dry-run")
    assert re.search(rf"seed2 +to run anew, {config} is damaged", capsys.readouterr().out)


def test_damaged_results_are_measured_again_and_stop_no_other_cell(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    go(TEXT, fake)
    (results,) = Path("studies/mine/toys_setrec_small/seed2").glob("*/metrics.json")
    results.write_text(results.read_text()[:40])
    fake.calls.clear()
    go(TEXT, fake, "--dry-run")
    assert re.search(r"toys_setrec_small/seed2 +to test studies/", capsys.readouterr().out)
    go(TEXT, fake)
    assert fake.calls == ["test toys_setrec_small/seed2"]


def test_a_damaged_config_makes_a_run_none_of_its_cell(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    go(TEXT, fake)
    (config,) = Path("studies/mine/toys_setrec_small/seed2").glob("*/config.yaml")
    config.write_text("a: [1\nb")
    fake.calls.clear()
    go(TEXT, fake)
    assert f"toys_setrec_small/seed2 (to run anew, {config} is damaged)" in capsys.readouterr().out
    assert fake.calls == ["fit toys_setrec_small/seed2", "test toys_setrec_small/seed2"]


def test_a_training_without_its_best_checkpoint_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    fake.fails = lambda command, config: command == "test" and config["seed_everything"] == 2
    go(TEXT, fake, fails=True)
    best = best_of("seed2")
    best.unlink()
    go(TEXT, fake, "--dry-run")
    assert f"to run anew, {best} is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("--config=other.yaml", "`config`, or `configs` of a study, says so"),
        ("--seed_everything=7", "`seeds`, or `seed` of a search, says so"),
        ("--runs=foo", "`--studies` is the folder of all"),
    ],
)
def test_what_a_study_sets_itself_is_refused(argument: str, why: str) -> None:
    with pytest.raises(GenrecError, match=f"`{argument.partition('=')[0]}` is not for the cells of a study: {why}"):
        go(TEXT, Fake(), argument)


def test_a_run_that_was_made_by_hand_counts(here: Path) -> None:
    """It has other folders in its config, and lacks a key that came later."""
    cell = here / "studies" / "mine" / "toys_setrec_small" / "seed2" / "2026-01-01_00-00-00"
    (cell / layout.CHECKPOINTS).mkdir(parents=True)
    config = resolve(["--config=toys_setrec_small.yaml", "--trainer.max_epochs=1", "--seed_everything=2"])
    config["data"]["root"] = config["runs"] = "elsewhere"
    config["trainer"]["default_root_dir"] = "elsewhere"
    (cell / layout.CONFIG).write_text(yaml.safe_dump(config))
    (cell / layout.METRICS).write_text(json.dumps(Fake()._results(config)))
    fake = Fake()
    go(TEXT, fake, "--data.root=DIR", "--model.init_args.new=null")
    assert [call for call in fake.calls if "setrec" in call] == [
        "fit toys_setrec_small/seed1",
        "test toys_setrec_small/seed1",
    ]


def test_cells_of_another_process_are_left_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    with claim(Path("studies/mine/toys_setrec_small/seed1")):
        go(TEXT, fake, "--dry-run")
        assert re.search(r"toys_setrec_small/seed1 +running", capsys.readouterr().out)
        go(TEXT, fake)
    assert "[2/3] toys_setrec_small/seed1 is being run by another process" in capsys.readouterr().out
    assert fake.calls == ["test toys_popularity/seed1", "fit toys_setrec_small/seed2", "test toys_setrec_small/seed2"]


def test_a_dry_run_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    go(TEXT, Fake(), "--dry-run")
    assert [path.name for path in here.iterdir()] == ["mine.yaml"]
    assert capsys.readouterr().out.count("to run\n") == 3


def test_the_rest_is_estimated_from_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Runs say that they took 50 s of training and 10 s of ranking."""
    text = "configs: [toys_setrec_small.yaml, toys_tiger_small.yaml]\nseeds: "
    go(f"{text}[1]", Fake())
    capsys.readouterr()
    go(f"{text}[1, 2, 3]", Fake())
    first = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("[2/6]"))
    assert first.endswith("; 3 more, about 3 minutes"), "30 s (the mean of 60 and 0) + 2 * 60 s, rounded"


def test_a_failed_training_is_not_tested_again(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    fake.fails = lambda command, config: command == "fit"
    go("config: toys_setrec_small.yaml\nretest: {x.betas: [[0.1]]}", fake, fails=True)
    assert len(fake.calls) == 1
    said = capsys.readouterr()
    assert "betas=0.1/seed42: toys_setrec_small/chosen-on-validation/seed42 has not been trained to its end" in said.err
    assert "no cell is done" in said.out


def test_there_is_nothing_to_test_again_without_training() -> None:
    with pytest.raises(GenrecError, match="nothing to train"):
        go("config: toys_popularity.yaml\nretest: {x: [1]}", Fake())

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest
import yaml
from lightning.pytorch.trainer.states import TrainerFn
from optuna.trial import Trial, TrialState

from genrec.config.files import PACKAGED, load_config
from genrec.errors import GenrecError
from genrec.study.journal import PRUNED, open_study, trial_of
from genrec.study.plan import flags
from genrec.study.pruning import Pruning
from genrec.study.tuning import tune

from .fakes import resolve

LR, N = "model.init_args.optimizer.init_args.lr", "model.init_args.identifier.init_args.n_semantic"
TEXT = f"""
config: toys_setrec_small.yaml
trials: 6
space:
  {LR}: {{low: 1.0e-4, high: 1.0e-2, log: true}}
  {N}: [1, 2, 3]
"""
FOLDER = Path("studies/mine")
BEST = FOLDER / "mine_best.yaml"


def trial_told(arguments: Sequence[str]) -> tuple[int, Trial]:
    """The trial that a command is told to report to, and its number."""
    (callback,) = (part for part in arguments if part.startswith("--trainer.callbacks+="))
    told: dict[str, Any] = yaml.safe_load(callback.partition("=")[2])["init_args"]
    return told["number"], trial_of(open_study(Path(told["folder"])), told["number"])


class Fake:
    """Trainings whose validation is a function of the trial's values."""

    def __init__(self, value: Callable[[float, int], float] = lambda lr, n: n / 10) -> None:
        self.value = value
        self.values: list[tuple[float, int]] = []
        self.commands: list[Sequence[str]] = []
        self.prunes: Callable[[int], bool] = lambda number: False
        self.dies: Callable[[int], bool] = lambda number: False
        self.fails: Callable[[int], bool] = lambda n: n == 3

    def __call__(self, arguments: Sequence[str], log: Path, lock: IO[str]) -> str | None:
        self.commands.append(arguments)
        config = resolve([part for part in arguments[1:] if "callbacks" not in part])
        number, trial = trial_told(arguments)
        model = config["model"]["init_args"]
        lr, n = model["optimizer"]["init_args"]["lr"], model["identifier"]["init_args"]["n_semantic"]
        self.values.append((lr, n))
        if self.dies(number):
            raise KeyboardInterrupt
        if self.fails(n):
            return "RuntimeError: out of memory"
        trial.report(self.value(lr, n), 0)
        if self.prunes(number):
            trial.set_user_attr(PRUNED, True)
        else:
            trial.report(self.value(lr, n) - 0.05, 1)
        return None


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # Bare names in the configs: those of the classes are made by the command line.
    monkeypatch.setattr("genrec.recommenders.base.learns", lambda class_path: class_path == "Recommender")
    return tmp_path


def go(fake: Fake, text: str = TEXT, *more: str) -> None:
    Path("mine.yaml").write_text(text)
    tune(["mine.yaml", *more], resolve, fake)


def test_the_best_validation_of_all_trials(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    go(fake, TEXT, "--data.root", "DIR")
    assert len(fake.values) == 6
    assert all(1e-4 <= lr <= 1e-2 and n in (1, 2, 3) for lr, n in fake.values)
    assert {command[0] for command in fake.commands} == {"fit"}, "nothing is tested"
    assert all("--data.root DIR" in " ".join(command) for command in fake.commands)
    said = capsys.readouterr().out
    assert f"FAILED: RuntimeError: out of memory (see {FOLDER}/trial" in said
    n = max(n for _, n in fake.values if n < 3)
    best = next(index for index, (_, other) in enumerate(fake.values) if other == n)
    assert f"trial {best} is the best; wrote {BEST}: genrec fit --config {BEST}" in said
    text = BEST.read_text()
    assert text.startswith(f"# Trial {best} of 6: val/ndcg@10 {n / 10:.4f} on validation.\n")
    config, original = load_config(str(BEST)), load_config("toys_setrec_small.yaml")
    assert config["model"]["init_args"]["identifier"]["init_args"] == {"n_semantic": n, "alpha": 0.7}
    assert config["model"]["init_args"]["optimizer"]["init_args"] == {"lr": fake.values[best][0]}
    assert (config["data"], config["trainer"]) == (original["data"], original["trainer"])
    with (FOLDER / "trials.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(float(line["lr"]), int(line["n_semantic"])) for line in lines] == fake.values
    assert [line["state"] for line in lines] == ["fail" if n == 3 else "complete" for _, n in fake.values]


def test_the_smallest_loss_is_the_best_where_checkpoints_are_kept_by_it() -> None:
    fake = Fake()
    go(fake, TEXT + "set: {checkpoint.monitor: val/loss, checkpoint.mode: min}\n")
    assert {n for _, n in fake.values} >= {1, 2}, "there is a choice"
    # The second validation of a trial is .05 below its first.
    assert "val/loss 0.0500 on validation" in BEST.read_text()


def test_a_search_goes_on_as_if_it_had_not_stopped() -> None:
    whole, parts = Fake(), Fake()
    go(whole, TEXT + "name: whole")
    for trials in (2, 3, 6):
        go(parts, TEXT.replace("trials: 6", f"trials: {trials}"))
    assert parts.values == whole.values
    assert len(set(whole.values)) == 6


def test_a_killed_trial_is_run_again(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    fake.dies = lambda number: number == 1
    with pytest.raises(SystemExit, match="130"):
        go(fake)
    fake.dies = lambda number: False
    go(fake)
    assert fake.values[1] == fake.values[2]
    assert len(fake.values) == 6 + 1
    trials = open_study(FOLDER).trials
    assert [trial.user_attrs.get("killed") for trial in trials] == [None, True, *[None] * 5]
    assert TrialState.RUNNING not in {trial.state for trial in trials}
    assert "killed" in capsys.readouterr().out


GRID = f"""
config: toys_setrec_small.yaml
trials: all
space:
  {LR}: [1.0e-3, 3.0e-3]
  {N}: [1, 2, 4]
"""


def test_every_combination_is_tried_once(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    fake.dies = lambda number: number == 2
    with pytest.raises(SystemExit, match="130"):
        go(fake, GRID)
    fake.dies = lambda number: False
    go(fake, GRID)
    go(fake, GRID)
    wanted = [(lr, n) for lr in (1e-3, 3e-3) for n in (1, 2, 4)]
    assert sorted(fake.values) == sorted([*wanted, fake.values[2]])
    assert "[0: 1/6] lr=0.001, n_semantic=1 ..." in capsys.readouterr().out
    assert load_config(BEST)["model"]["init_args"]["identifier"]["init_args"]["n_semantic"] == 4


def test_a_trial_that_was_stopped_early_is_not_the_best() -> None:
    fake = Fake(lambda lr, n: 0.5)
    fake.prunes = lambda number: number != 4
    go(fake, TEXT.replace("[1, 2, 3]", "[1, 2]"))
    states = [trial.state for trial in open_study(FOLDER).trials]
    assert states == [TrialState.PRUNED] * 4 + [TrialState.COMPLETE, TrialState.PRUNED]
    assert BEST.read_text().startswith("# Trial 4 of 6")


def test_no_trial_comes_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="1"):
        go(Fake(), TEXT.replace("[1, 2, 3]", "[3]").replace("trials: 6", "trials: 2"))
    assert "no trial has come to its end" in capsys.readouterr().err
    assert not BEST.exists()


def test_a_trial_that_has_not_measured_what_is_searched_by_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text(TEXT.replace("trials: 6", "trials: 2"))
    with pytest.raises(SystemExit, match="1"):
        tune(["mine.yaml"], resolve, lambda arguments, log, lock: None)
    assert "FAILED: no validation has measured `val/ndcg@10`, which checkpoints are kept" in capsys.readouterr().out


def test_what_a_killed_process_has_half_written_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    go(Fake())
    journal = FOLDER / "journal.log"
    journal.write_bytes(journal.read_bytes()[:-20])
    go(Fake())
    assert f"{journal}: its last line is not whole, and was taken away" in capsys.readouterr().out
    assert all(map(json.loads, journal.read_text().splitlines()))


def test_a_damaged_journal_is_named() -> None:
    go(Fake())
    journal = FOLDER / "journal.log"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:3], lines[3][:9], *lines[4:], ""]))
    with pytest.raises(GenrecError, match=rf"{journal}, line 4: not valid JSON \(.*\): remove it, or move"):
        go(Fake())


def test_a_search_whose_first_trials_all_fail_stops_and_begins_again(capsys: pytest.CaptureFixture[str]) -> None:
    fake, text = Fake(), TEXT.replace("[1, 2, 3]", "[3]")
    with pytest.raises(
        GenrecError, match=r"first 3 trials have all failed, the last with: RuntimeError: out of memory"
    ):
        go(fake, text)
    assert len(fake.values) == 3
    mended = Fake()
    mended.fails = lambda n: False
    go(mended, text)
    assert mended.values[:3] == fake.values, "the same ones first"
    assert len(mended.values) == 6
    assert "trial 3 is the best" in capsys.readouterr().out
    # Now one that fails had values that did not do: it counts.
    go(fake, text)
    assert len(fake.values) == 3


def test_a_short_search_that_fails_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    text = TEXT.replace("[1, 2, 3]", "[3]").replace("trials: 6", "trials: 2")
    fake = Fake()
    for count in (2, 4):
        with pytest.raises(SystemExit, match="1"):
            go(fake, text)
        assert len(fake.values) == count
    assert "no trial has come to its end; the same command tries them again" in capsys.readouterr().err


def test_what_a_search_sets_itself_is_refused() -> None:
    with pytest.raises(GenrecError, match="`--seed_everything` is not for the cells of a study"):
        go(Fake(), TEXT, "--seed_everything", "7")


def test_only_what_is_measured_after_some_training_counts() -> None:
    """Neither the untrained model of Lightning's sanity check, nor a metric that is not there."""
    FOLDER.mkdir(parents=True)
    open_study(FOLDER, "max").ask()
    pruning = Pruning(str(FOLDER), 0, "val/ndcg@10")
    trainer: Any = SimpleNamespace(
        state=SimpleNamespace(fn=TrainerFn.FITTING), is_global_zero=True, strategy=SimpleNamespace(broadcast=bool)
    )
    for sanity_checking, metrics in (
        (True, {"val/ndcg@10": 0.9}),
        (False, {"val/loss": 1.0}),
        (False, {"val/ndcg@10": 0.2}),
    ):
        trainer.sanity_checking, trainer.callback_metrics = sanity_checking, metrics
        pruning.on_validation_end(trainer, Any)
    assert open_study(FOLDER).trials[0].intermediate_values == {0: 0.2}


def test_trials_of_other_settings_are_not_mixed() -> None:
    go(Fake())
    with pytest.raises(GenrecError, match=r"other settings \(trainer.max_epochs: 10 -> 2\)"):
        go(Fake(), TEXT, "--trainer.max_epochs=2")
    with pytest.raises(GenrecError, match=r"other settings \(the space\)"):
        go(Fake(), TEXT.replace("[1, 2, 3]", "[1, 2]"))
    go(Fake(), TEXT, "--data.root=ELSEWHERE")


def test_a_list_is_a_choice() -> None:
    """On the command line as any list, in the journal as a text, and in the config a list again."""
    betas = "model.init_args.identifier.init_args.betas"
    fake = Fake(lambda lr, n: 0.1)
    go(fake, f"config: toys_setrec_small.yaml\ntrials: all\nspace: {{{LR}: [0.1], {N}: [1], {betas}: [[0.5, 1], [1]]}}")
    go(fake, f"config: toys_setrec_small.yaml\ntrials: all\nspace: {{{LR}: [0.1], {N}: [1], {betas}: [[0.5, 1], [1]]}}")
    assert [part for command in fake.commands for part in command if "betas" in part] == [
        f"--{betas}=[0.5, 1]",
        f"--{betas}=[1]",
    ]
    assert load_config(str(BEST))["model"]["init_args"]["identifier"]["init_args"]["betas"] == [0.5, 1]


def test_one_space_for_many_configs(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    go(fake, GRID, "--config", "beauty_setrec_small.yaml")
    assert {command[2] for command in fake.commands} == {str(PACKAGED / "beauty_setrec_small.yaml")}
    best = FOLDER / "beauty_setrec_small" / "beauty_setrec_small_best.yaml"
    assert f"genrec fit --config {best}" in capsys.readouterr().out
    assert load_config(str(best))["data"] == load_config("beauty_setrec_small.yaml")["data"]
    go(fake, GRID)
    assert BEST.exists(), "that of the yaml has a folder of its own"


def test_a_config_of_ones_own(here: Path) -> None:
    (here / "own.yaml").write_text("compose: [toys_setrec_small.yaml]\ntrainer: {max_epochs: 3}")
    go(Fake(), TEXT.replace("toys_setrec_small", "own").replace("trials: 6", "trials: 3"))
    assert load_config(str(here / BEST))["trainer"]["max_epochs"] == 3


@pytest.mark.parametrize("name", sorted(path.name for path in (PACKAGED / "studies").glob("tune_*.yaml")))
def test_packaged_searches(name: str) -> None:
    """Every one with a few trials, drawn from its space."""
    tried = []

    def execute(arguments: Sequence[str], log: Path, lock: IO[str]) -> None:
        resolve([part for part in arguments[1:] if "callbacks" not in part])
        tried.append(trial_told(arguments)[0])
        trial_told(arguments)[1].report(0.5, 0)

    contents = yaml.safe_load((PACKAGED / "studies" / name).read_text())
    assert contents["trials"] == "all" or contents["trials"] > 3
    Path(name).write_text(yaml.safe_dump({**contents, "trials": 3}))
    tune([name, "--trainer.max_epochs=2"], resolve, execute)
    assert tried == [0, 1, 2]
    (best,) = Path("studies").rglob("*_best.yaml")
    config = load_config(str(best))
    for key in contents["space"]:
        assert reduce(getitem, key.split("."), config) is not None


def test_what_was_chosen_is_in_the_space_it_was_chosen_from() -> None:
    found = {}
    for path in PACKAGED.glob("*.yaml"):
        text = path.read_text()
        if said := re.match(r"# Chosen on validation: genrec tune (\S+) --config (\S+)\n", text):
            space = load_config(str(PACKAGED / "studies" / said[1]))["space"]
            chosen = yaml.safe_load(text)["model"]["init_args"]
            assert said[2] == path.name
            assert all(value in space[f"model.init_args.{key}"] for key, value in chosen.items()), path.name
            found[path.stem] = said[1]
    assert found["toys_contentknn"] == "tune_contentknn.yaml"
    assert found["toys_itemknn"] == "tune_itemknn.yaml"


@pytest.mark.parametrize("name", sorted(path.name for path in (PACKAGED / "studies").glob("fair_*.yaml")))
def test_fair_searches_have_as_many_trials(name: str) -> None:
    contents = yaml.safe_load((PACKAGED / "studies" / name).read_text())
    assert contents["trials"] == "all"
    assert [len(values) for values in contents["space"].values()] == [4, 2]
    last = {key: values[-1] for key, values in contents["space"].items()}
    resolve(["--config", str(PACKAGED / contents["config"]), *flags(contents["set"]), *flags(last)])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("config: toys_setrec_small.yaml", "a `config` and a `space`"),
        (TEXT.replace("1.0e-4", "1e-4"), "1e-4 is text in yaml"),
        (TEXT.replace("high: 1.0e-2, ", ""), "is a list of values"),
        (TEXT.replace("high: 1.0e-2", "high: 1.0e-9"), "is a list of values"),
        (TEXT.replace("[1, 2, 3]", "[[1], [[2]]]"), "is a list of values"),
        (TEXT.replace("trials: 6", "trials: 0"), "`trials` is a positive number"),
        (TEXT.replace("trials: 6", "trials: every"), "or `all` for every combination, not `every`"),
        (
            TEXT.replace("trials: 6", "trials: all"),
            r"every value, and `model\..*\.lr` has bounds: list its values",
        ),
        (TEXT + "seeds: [1]", "no key `seeds`"),
    ],
)
def test_what_makes_no_sense(text: str, complaint: str) -> None:
    with pytest.raises(GenrecError, match=complaint):
        go(Fake(), text)

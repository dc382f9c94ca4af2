"""Studies with real trainings, in this process."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import optuna
import polars as pl
import pytest
import torch
import yaml

from genrec.cli import main
from genrec.config.settings import changes
from genrec.errors import GenrecError
from genrec.runs.results import load_run
from genrec.study.command import study
from genrec.study.journal import open_study
from genrec.study.plan import flags
from genrec.study.settings import full_config
from genrec.study.tuning import tune

IDENTIFIER = "model.init_args.identifier.init_args"
SMALL = """
set:
  trainer.max_epochs: 1
  data.source.init_args.users: 150
  data.source.init_args.items: 140
  data.max_history: 6
  data.batch_size: 13
  assets.cf.init_args.max_epochs: 2
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_this_process(arguments: Sequence[str], log: Path, lock: IO[str]) -> str | None:
    """`execute`, without the seconds that a process takes to start."""
    with log.open("a") as out, contextlib.redirect_stdout(out):
        main(arguments)
    return None


def test_a_weight_of_the_ranking_is_swept_without_training(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The beta that validation chose gives what a test with that beta alone gives."""
    Path("beta.yaml").write_text(
        f"config: synthetic_setrec.yaml\nretest: {{{IDENTIFIER}.betas: [[0.1], [0.9]]}}{SMALL}"
        f"  {IDENTIFIER}.betas: [0.1, 0.9]\n"
    )
    study(["beta.yaml"], execute=in_this_process)
    cells = here / "studies" / "beta" / "synthetic_setrec"
    trained, *retested = (
        load_run(cells / name / "seed42") for name in ("chosen-on-validation", "betas=0.1", "betas=0.9")
    )
    chosen = torch.load(trained.folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"][
        "identifier.beta"
    ]
    same, other = retested if chosen < 0.5 else retested[::-1]
    assert same.results["settings"]["all"] == pytest.approx(trained.results["settings"]["all"], abs=1e-6)
    assert other.results["settings"]["all"] != pytest.approx(trained.results["settings"]["all"], abs=1e-6)
    assert [path.name for path in cells.glob("*/*/*/fit.json")] == ["fit.json"], "trained once"
    assert len(list(trained.folder.glob("metrics*.json"))) == 1
    said = capsys.readouterr().out
    assert re.search(r"all *│ chosen on validation │", said)
    assert (here / "studies" / "beta" / "figures" / "synthetic_betas.png").is_file()

    again = full_config(["--config", str(trained.folder / "config.yaml")])
    assert changes(trained.config, again) == []
    study(["beta.yaml"], execute=lambda *_: pytest.fail("all cells are done"))


def test_a_fit_that_stopped_between_two_validations_goes_on(here: Path) -> None:
    arguments = ["fit", "--config", "synthetic_setrec.yaml", *flags(yaml.safe_load(SMALL)["set"])]
    arguments += ["--trainer.val_check_interval=0.25", "--trainer.enable_progress_bar=false"]
    main([*arguments, "--trainer.max_steps=8"])
    (run,) = (here / "runs" / "synthetic_setrec").iterdir()
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 8, "of 12 steps, validated every third: what it ended with"
    main([*arguments, "--ckpt_path=last"])
    assert json.loads((run / "fit.json").read_text())["epochs"] == 1


def test_wrong_keys_are_told_before_anything_runs(here: Path) -> None:
    Path("mine.yaml").write_text("config: synthetic_setrec.yaml\nvariants: {a: {}, b: {trainer.max_epochz: 1}}")
    with pytest.raises(GenrecError, match="did you mean `max_epochs`"):
        study(["mine.yaml"], execute=lambda *_: pytest.fail("nothing may run"))
    assert not (here / "studies").exists()


def test_a_search_with_real_trainings(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last trial is stopped at its second validation of four: those before it were (as we pretend) far better."""
    text = f"config: synthetic_setrec.yaml\ntrials: 1\nspace: {{{IDENTIFIER}.alpha: [0.1, 0.5]}}{SMALL}"
    Path("alpha.yaml").write_text(text + "  trainer.val_check_interval: 0.25\n")
    tune(["alpha.yaml"], execute=in_this_process)
    search = open_study(here / "studies" / "alpha")
    (run,) = (here / "studies" / "alpha" / "trial0" / "synthetic_setrec").iterdir()
    curve = pl.read_csv(run / "logs" / "version_0" / "metrics.csv")
    validated = curve["val/ndcg@10"].drop_nulls().to_list()
    assert len(validated) == 4
    assert search.trials[0].intermediate_values == pytest.approx(dict(enumerate(validated)), abs=1e-6)
    assert search.best_value == pytest.approx(max(validated), abs=1e-6)
    assert not list(run.glob("metrics*")), "no test user was ranked"
    assert json.loads((run / "fit.json").read_text())["epochs"] == 1
    best = yaml.safe_load((here / "studies" / "alpha" / "alpha_best.yaml").read_text())
    assert best["compose"] == ["synthetic_setrec.yaml"]
    alpha = full_config(["--config", "studies/alpha/alpha_best.yaml"])["model"]["init_args"]["identifier"]["init_args"][
        "alpha"
    ]
    assert alpha == search.best_params[f"{IDENTIFIER}.alpha"]

    for _ in range(5):
        search.add_trial(
            optuna.trial.create_trial(
                params=search.trials[0].params,
                distributions=search.trials[0].distributions,
                value=0.5,
                intermediate_values={0: 0.0, 1: 0.5, 2: 0.5, 3: 0.5},
            )
        )
    Path("alpha.yaml").write_text(Path("alpha.yaml").read_text().replace("trials: 1", "trials: 7"))
    tune(["alpha.yaml"], execute=in_this_process)
    assert search.trials[6].state == optuna.trial.TrialState.PRUNED
    assert len(search.trials[6].intermediate_values) == 2
    assert "stopped early at" in capsys.readouterr().out


def test_a_search_where_there_is_nothing_to_learn(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trial is a validation, and comes to its end however far behind the others it is."""
    keys = "{model.init_args.window: [1, 50], model.init_args.last: [1, 2, 10]}"
    sizes = "{data.source.init_args.users: 150, data.source.init_args.items: 140}"
    Path("near.yaml").write_text(f"config: synthetic_itemknn.yaml\ntrials: all\nspace: {keys}\nset: {sizes}\n")
    tune(["near.yaml"], execute=in_this_process)
    search = open_study(here / "studies" / "near")
    assert [trial.state for trial in search.trials] == [optuna.trial.TrialState.COMPLETE] * 6
    for trial in search.trials:
        (run,) = (here / "studies" / "near" / f"trial{trial.number}" / "synthetic_itemknn").iterdir()
        found = json.loads((run / "validation.json").read_text())["settings"]["all"]["ndcg@10"]
        assert trial.value == pytest.approx(found, abs=1e-6)
        assert not list(run.glob("metrics*")), "no test user was ranked"
    assert len({trial.value for trial in search.trials}) > 2
    assert "genrec test --config studies/near/near_best.yaml" in capsys.readouterr().out
    best = full_config(["--config", "studies/near/near_best.yaml"])["model"]["init_args"]
    assert {f"model.init_args.{key}": best[key] for key in ("window", "last")} == search.best_params

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from genrec.analysis.compare import compare
from genrec.analysis.report import report
from genrec.cli import main
from genrec.errors import GenrecError
from genrec.evaluation import ranks
from genrec.runs import reuse
from genrec.runs.results import load_run
from genrec.seeds import closed

SMALL = ["--data.source.init_args.users=150", "--data.source.init_args.items=140", "--trainer.max_epochs=1"]
SMALL += ["--assets.cf.init_args.max_epochs=1"]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
IDENTIFIER = "model.init_args.identifier.init_args"


def genrec(command: str, *more: str) -> None:
    main([*shlex.split(command), *more, *QUIET])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was told things that its config does not say."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        genrec(f"fit --config synthetic_setrec.yaml --{IDENTIFIER}.n_semantic 2 --data.max_history 5", *SMALL)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run of `trained`, in a working folder of one's own."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    (found,) = (tmp_path / "runs" / "synthetic_setrec").iterdir()
    return found


def metrics(run: Path) -> dict[str, Any]:
    return dict(load_run(run).results)


def test_a_run_is_tested_as_it_was_trained(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    genrec("test --config synthetic_setrec.yaml")
    said = capsys.readouterr().out
    assert "keeps the settings of its training: " in said
    assert re.search(r"model\.identifier\.n_semantic: \d -> 2, data\.\S+: ", said)
    plain = metrics(run)
    assert plain["overrides"] == []
    assert plain["items"] == 140

    genrec(f"test --config {run / 'config.yaml'}")
    assert metrics(run)["settings"] == plain["settings"]

    genrec("test --data.max_history 2 --config synthetic_setrec.yaml")
    assert "other settings than those of its training: data.max_history: 5 -> 2" in capsys.readouterr().out
    assert metrics(run)["settings"] == plain["settings"], "other settings never take the place of its own"
    beside = run / "metrics.2.json"  # the first test is metrics.1.json by now
    changed = metrics(beside)
    assert changed["overrides"] == ["data.max_history: 5 -> 2"]
    assert changed["settings"] != plain["settings"]
    report([str(run)])
    assert "tested with" not in capsys.readouterr().out
    report([str(run), str(beside)])
    assert "tested with data.max_history: 5 -> 2" in " ".join(capsys.readouterr().out.split())
    means = metrics(run)["settings"], changed["settings"]
    (found, *_) = compare(load_run(run), load_run(beside), samples=10)
    expected = tuple(part["all"][found.metric] for part in means)
    assert (found.a, found.b) == pytest.approx(expected, abs=1e-12), "each with the ranks of its test"
    assert ranks.read(run / "ranks.1.parquet").equals(ranks.read(run / "ranks.parquet"))


def test_a_run_keeps_its_assets_whatever_seed_is_typed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for config in ("synthetic_setrec.yaml", run / "config.yaml"):
        genrec(f"test --config {config} --seed_everything 7")
        assert "building" not in capsys.readouterr().out
        assert metrics(run)["overrides"] == []
    genrec("test --config synthetic_setrec.yaml --assets.seed 7")
    assert "building text-tfidf" in capsys.readouterr().out
    assert metrics(run)["overrides"] == []
    assert metrics(run / "metrics.2.json")["overrides"] == ["assets.seed: 42 -> 7"]


def test_a_run_goes_on_as_it_began(run: Path) -> None:
    genrec("fit --config synthetic_setrec.yaml --ckpt_path last --trainer.max_epochs 2")
    assert json.loads((run / "fit.json").read_text())["epochs"] == 2
    assert [path.name for path in run.parent.iterdir()] == [run.name]


def test_a_test_of_some_users_or_of_another_checkpoint_is_not_the_run_s_own(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genrec("test --config synthetic_setrec.yaml --data.rank_batch_size 16 --trainer.limit_test_batches 1")
    assert "metrics.1.json, beside the results with the run's own settings" in capsys.readouterr().out
    some = metrics(run / "metrics.1.json")
    limited = ["trainer.limit_test_batches: None -> 1"]
    assert some["overrides"] == limited, "how many are ranked together changes nothing"
    report([str(run / "metrics.1.json")])
    assert f"16 of {some['users']} users" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(GenrecError, match=r"no metrics\.json in"):
        load_run(run)
    genrec("test", "--config", str(run / "config.yaml"), "--ckpt_path", str(run / "checkpoints" / "last.ckpt"))
    assert metrics(run / "metrics.2.json")["overrides"] == ["checkpoint: best.ckpt -> last.ckpt"]
    assert not (run / "ranks.parquet").exists()


def test_what_is_typed_comes_last() -> None:
    arguments = ["test", "--a", "1", "--config", "x: 1", "--b=2", "--config", "x: 2", "--c"]
    kept = {"model": {"class_path": "M"}}
    stood = reuse.stand_in(arguments, kept)
    assert stood == [
        "test",
        "--config",
        "x: 1",
        "--config",
        "x: 2",
        "--config",
        yaml.safe_dump(kept),
        "--a",
        "1",
        "--b=2",
        "--c",
    ]


def test_what_counts_as_another_setting() -> None:
    kept = {"model": {"init_args": {"beams": 20}}, "data": {"root": "a", "rank_batch_size": 8}}
    config = {
        "model": {"init_args": {"beams": 50, "later": 1}},
        "data": {"root": "b", "rank_batch_size": 4},
        "runs": "r",
    }
    assert reuse.overrides(kept, config) == ["model.beams: 20 -> 50"]
    open_, given = ({"data": {"foreign": value}} for value in (None, {"history": "own"}))
    assert reuse.overrides(open_, given) == ["data.foreign.history: None -> own"]
    assert reuse.overrides(given, open_) == ["data.foreign.history: own -> None"]
    assert reuse.overrides(kept, kept) == []
    assert reuse.overrides(kept, {**kept, "seed_everything": 1}) == ["data.seed: 42 -> 1", "assets.seed: 42 -> 1"]
    assert reuse.overrides(closed(kept, kept), kept) == []


def test_a_config_agrees_with_the_run_if_nothing_of_the_run_would_change_it() -> None:
    kept = {"model": {"class_path": "M", "init_args": {"ks": [5]}}, "data": {"root": "a", "seed": 42}}
    asked: dict[str, Any] = {"model": {"class_path": "M", "init_args": {"ks": [5], "new": 1}}}
    asked["data"] = {"root": "a", "seed": None}
    assert reuse.agree(kept, asked)
    others = [
        {**asked, "model": {"class_path": "N", "init_args": {"ks": [5]}}},
        {**asked, "data": {"root": "b", "seed": None}},
        {**asked, "data": {"root": "a", "seed": 7}},
        {"data": asked["data"]},
    ]
    assert not any(reuse.agree(kept, other) for other in others)

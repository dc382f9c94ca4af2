from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning  # noqa: F401 # its log goes to what is standard error when it is imported: not that of one test
import numpy as np
import polars as pl
import pytest
import torch
import yaml

from genrec.cli import main
from genrec.data import Synthetic
from genrec.evaluation import ranks
from genrec.io.versions import commit
from genrec.runs.results import load_results

from . import forks

SMALL = ["--data.source.init_args.users=150", "--data.source.init_args.items=140"]
SHORT = ["--data.max_history=6", "--assets.cf.init_args.max_epochs=2"]
QUICK = [*SMALL, *SHORT, "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
METRICS = ["recall@5", "recall@10", "ndcg@5", "ndcg@10"]
ROOT = Path(__file__).resolve().parents[1]


def genrec(command: str, *more: str) -> None:
    main([*shlex.split(command), *more])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with item embeddings, and a run of one epoch."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        genrec("fit --config synthetic_setrec.yaml --trainer.max_epochs=1", *QUICK)
    return folder


@pytest.fixture
def embedded(shop: Path, here: Path) -> None:
    """The embeddings of `shop`."""
    shutil.copytree(shop / "data", here / "data")


@pytest.fixture
def trained(shop: Path, here: Path, embedded: None) -> Path:
    """The run of `shop`."""
    shutil.copytree(shop / "runs", here / "runs")
    (run,) = (here / "runs" / "synthetic_setrec").iterdir()
    return run


def complaint(capsys: pytest.CaptureFixture[str], command: str, *more: str) -> str:
    """What a command with bad input says: one line, exit code 2."""
    with pytest.raises(SystemExit) as exit_:
        genrec(command, *more)
    said = capsys.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("genrec: error: ")]
    assert exit_.value.code == 2
    assert said.splitlines()[-1:] == errors
    assert "Traceback" not in said
    return errors[0]


# The way through all commands


def test_fit_validate_test_predict_report(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    often = "--trainer.log_every_n_steps=4"
    genrec("fit --config synthetic_setrec.yaml --trainer.max_epochs=2 --seed_everything=43", often, *QUICK)
    (run,) = (here / "runs" / "synthetic_setrec").iterdir()
    assert {path.name for path in run.iterdir()} == {"checkpoints", "config.yaml", "fit.json", "logs", "tensorboard"}
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    fit = json.loads((run / "fit.json").read_text())
    assert fit["epochs"] == 2
    assert fit["commit"] == commit()
    (trained,) = fit["training"]
    assert (trained["batch"], trained["processes"], trained["precision"]) == (32, 1, "32-true")
    assert fit["seconds"] > fit["training_seconds"] > 0
    curve = pl.read_csv(run / "logs" / "version_0" / "metrics.csv")
    assert curve["val/loss"].drop_nulls().len() == 2
    assert {"train/loss", "train/generation", "train/examples_per_second", "val/chosen", "val_sweep/0.1"} <= set(
        curve.columns
    )

    genrec("validate --config synthetic_setrec.yaml", *QUICK)
    validated = json.loads((run / "validation.json").read_text())
    assert validated["split"] == "validation"
    assert validated["training"] == fit["training"]
    assert validated["settings"]["all"]["ndcg@10"] == pytest.approx(curve["val/ndcg@10"].max(), abs=1e-6)

    genrec("test --config synthetic_setrec.yaml", *QUICK)
    genrec("test --config synthetic_setrec.yaml", *QUICK)
    results = load_results(here / "runs" / "synthetic_setrec")
    assert results["settings"] == json.loads((run / "metrics.1.json").read_text())["settings"], "nothing is overwritten"
    assert set(results["settings"]) == {"all", "warm", "cold", "G1", "G2", "G3", "G4", "G5"}
    assert results["seed"] == 43, "of the training"
    assert (results["training"], results["precision"]) == (fit["training"], "32-true")
    assert 0 < results["parameters"]["trained"] <= results["parameters"]["all"]
    assert results["seconds"]["fit"] == fit["seconds"]
    assert results["settings"]["all"]["users"] == results["users"]
    for name in ("ranks.parquet", "ranks.1.parquet"):
        table = ranks.read(run / name)
        assert table["user"].n_unique() == results["users"]
        for setting, values in ranks.means(table, METRICS).items():
            assert results["settings"][setting] == pytest.approx(values, abs=1e-12, nan_ok=True)

    genrec("test --config synthetic_popularity.yaml", *QUICK)
    capsys.readouterr()
    genrec("report runs/synthetic_popularity runs/synthetic_setrec")
    table = capsys.readouterr().out
    for result in (results, load_results("runs/synthetic_popularity")):
        for setting in ("all", "warm", "cold"):
            assert re.search(
                rf"{setting} *│ {result['method']} .*{result['settings'][setting]['ndcg@10']:.4f}", table
            ), table
    genrec("compare runs/synthetic_popularity runs/synthetic_setrec --samples 2000")
    compared = capsys.readouterr().out
    means = (load_results(f"runs/synthetic_{name}")["settings"]["all"]["ndcg@10"] for name in ("popularity", "setrec"))
    assert re.search(r"all *│ ndcg@10 *│ *\d+ │ {:.4f} │ {:.4f}".format(*means), compared), compared
    genrec("report runs/synthetic_popularity runs/synthetic_setrec --plots figures --format csv --output numbers.csv")
    assert {path.name for path in Path("figures").iterdir()} == {
        f"synthetic_{name}.{suffix}"
        for name in ("settings", "groups", "seconds", "validation_sweep")
        for suffix in ("png", "pdf")
    }
    numbers = pl.read_csv("numbers.csv").filter(setting="cold", method="SETRec", metric="ndcg@10")
    assert numbers["mean"].to_list() == [results["settings"]["cold"]["ndcg@10"]]

    for name in ("best.parquet", "best.jsonl"):
        genrec(f"predict --config synthetic_setrec.yaml --output {name}", *QUICK)
    table, lines = pl.read_parquet("best.parquet"), pl.read_ndjson("best.jsonl")
    assert table.columns == lines.columns == ["user", "rank", "item", "title", "score"]
    assert table["user"].n_unique() * 10 == len(table)
    assert table["rank"].to_list()[:11] == [*range(1, 11), 1]
    assert table.group_by("user").agg(pl.col("item").n_unique())["item"].min() == 10
    assert lines["item"].to_list() == table["item"].to_list()


def test_a_run_is_tested_by_its_own_config(trained: Path) -> None:
    newer = shutil.copytree(trained, trained.with_name(f"{trained.name}.1"))
    genrec(f"test --config {trained / 'config.yaml'}")
    assert (trained / "metrics.json").is_file()
    assert not (newer / "metrics.json").exists()


def test_prepare_builds_what_fit_would_and_only_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    genrec("prepare --config synthetic_setrec.yaml", *QUICK)
    built = sorted((here / "data" / "assets").glob("*-*"))
    assert "building text-tfidf-32" in capsys.readouterr().out
    genrec("prepare --config synthetic_setrec.yaml", *QUICK)
    assert "building" not in capsys.readouterr().out
    assert sorted((here / "data" / "assets").glob("*-*")) == built
    assert not (here / "runs").exists()


def test_prepare_tells_what_building_told_once_more(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "codes.yaml").write_text(
        "compose: [data/synthetic.yaml, backbone/t5_mini.yaml, trainer/quick.yaml]\n"
        "assets: {text: TfidfText, sources: {words: {class_path: TfidfText, init_args: {dim: 3}}}}\n"
        "model: {init_args: {identifier: {class_path: TIGER, init_args: "
        "{codes: {levels: 2, size: 16, dim: 8, training: {steps: 5}}}}}}\n"
    )
    told = []
    for _ in range(2):
        genrec("prepare --config codes.yaml --verify true", *QUICK)
        told.append(re.findall(r"codes-rqvae-\w{16}: items \d+, .*", capsys.readouterr().out))
    assert told[0] == told[1]
    (codes,) = (here / "data" / "assets").glob("codes-rqvae-*/codes.npy")
    times = codes.stat().st_atime_ns, codes.stat().st_mtime_ns
    codes.write_bytes(codes.read_bytes()[:-1] + b"\1")
    os.utime(codes, ns=times)
    genrec("prepare --config codes.yaml --verify true", *QUICK)
    out = capsys.readouterr().out
    assert f"{codes.parent.relative_to(here)} is damaged: what is needed of it is built anew" in out
    assert "building codes-rqvae" in out
    (line,) = told[0]
    assert (here / "data" / "assets" / line.partition(":")[0]).is_dir()
    assert re.search(r"alike \d+, largest group \d+, used \[[\d.]+ [\d.]+\]", line)


def test_popularity_has_nothing_to_train(capsys: pytest.CaptureFixture[str]) -> None:
    genrec("fit --config synthetic_popularity.yaml", *QUICK)
    assert "nothing to train" in capsys.readouterr().out


@pytest.mark.usefixtures("embedded")
def test_the_same_seed_gives_the_same_metrics(here: Path) -> None:
    found = []
    for name in ("one", "two"):
        genrec(f"fit --config synthetic_setrec.yaml --trainer.max_epochs=2 --runs={name}", *QUICK)
        genrec(f"test --config synthetic_setrec.yaml --runs={name}", *QUICK)
        found.append(load_results(here / name / "synthetic_setrec")["settings"])
    for setting, values in found[0].items():
        assert found[1][setting] == pytest.approx(values, abs=1e-6, nan_ok=True)


OWN_IDENTIFIER = '''
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from genrec.decoding.grounding import top_k
from genrec.identifiers import ItemIdentifier
from genrec.types import ORDERED, PAD, Tokens

class Atomic(ItemIdentifier):
    """One trainable vector per item."""

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.scale = scale

    def setup(self, catalog, assets, backbone):
        self.items = nn.Embedding(len(catalog), backbone.width)
        self.query = nn.Parameter(torch.randn(1, 1, backbone.width))

    def index(self, catalog, assets):
        pass

    def embed(self, items):
        real = items != PAD
        return Tokens(self.items(items.clamp(min=0)), real, torch.full_like(items, ORDERED))

    def loss(self, backbone, context, history, target):
        written = backbone(context, Tokens.ordered(self.query))[:, 0]
        return {"loss": cross_entropy(self.scale * written @ self.items.weight.T, target)}

    def rank(self, backbone, memory, k, allowed):
        written = backbone.write(memory, Tokens.ordered(self.query))[:, 0]
        return top_k(written @ self.items.weight.T, allowed, k)
'''


def test_an_identifier_of_ones_own_is_one_file_and_one_config(here: Path) -> None:
    (here / "atomic.py").write_text(OWN_IDENTIFIER)
    (here / "mine.yaml").write_text(
        "compose: [data/synthetic.yaml, backbone/t5_mini.yaml, trainer/quick.yaml]\n"
        "model: {init_args: {identifier: {class_path: atomic.Atomic, init_args: {scale: 0.5}}}}\n"
    )
    script = Path(sys.executable).with_name("genrec")
    subprocess.run([script, "fit", "--config", "mine.yaml", "--trainer.max_epochs=1", *QUICK], check=True)
    forks.genrec("test", "--config", "mine.yaml", *QUICK)
    assert load_results(here / "runs" / "mine")["method"] == "Atomic"
    forks.genrec("inspect", "runs/mine", "--items", "2", "--trust")


# Killed


@pytest.mark.slow
@pytest.mark.usefixtures("embedded")
def test_a_killed_fit_leaves_whole_files_and_goes_on(here: Path) -> None:
    command = ["fit", "--config", "synthetic_setrec.yaml", *QUICK]
    command += ["--trainer.max_epochs=4", "--early_stopping.patience=4"]
    process = forks.start("-m", "genrec", *command)
    deadline = time.monotonic() + 300
    while len(list(here.glob("runs/synthetic_setrec/*/checkpoints/last.ckpt"))) == 0:
        assert process.is_alive(), "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    assert forks.end(process) == -signal.SIGKILL
    (run,) = (here / "runs" / "synthetic_setrec").iterdir()
    assert not (run / "fit.json").exists(), "it was killed in the middle"
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    for manifest in here.rglob("*.json"):
        json.loads(manifest.read_text())

    main([*command, "--ckpt_path=last"])
    assert [path.name for path in (here / "runs" / "synthetic_setrec").iterdir()] == [run.name]
    fit = json.loads((run / "fit.json").read_text())
    assert fit["epochs"] == 4
    assert fit["examples"] > checkpoint["callbacks"]["Throughput"]["examples"] > 0
    curves = [pl.read_csv(path / "metrics.csv") for path in sorted((run / "logs").iterdir())]
    resumed = curves[-1].filter(pl.col("val/loss").is_not_null())["epoch"].to_list()
    assert resumed == list(range(checkpoint["epoch"] + 1, 4)), "no epoch is trained twice"


@pytest.mark.usefixtures("embedded")
def test_last_is_the_last_epoch_and_best_the_best(here: Path) -> None:
    # Nothing is learned, so no epoch is better than the first.
    main(["fit", "--config", "synthetic_setrec.yaml", *QUICK, "--trainer.max_epochs=3", "--early_stopping.patience=9",
          "--model.init_args.optimizer.init_args.lr=0"])  # fmt: skip
    (run,) = (here / "runs" / "synthetic_setrec").iterdir()
    epochs = {path.stem: torch.load(path, weights_only=True)["epoch"] for path in (run / "checkpoints").iterdir()}
    assert epochs == {"best": 0, "last": 2}


def test_a_setting_with_too_few_candidates_is_left_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = [*QUICK, "--model.init_args.ks=[5,50]"]
    genrec("prepare --config synthetic_popularity.yaml", *few)
    said = capsys.readouterr().out
    assert re.search(r"^cold is left out of the measuring: \d+ candidates, fewer than k = 50 ", said, re.MULTILINE)
    for name in ("popularity", "random"):
        genrec(f"test --config synthetic_{name}.yaml", *few)
        assert capsys.readouterr().out.count("left out") == 1
        assert list(load_results(f"runs/synthetic_{name}")["settings"])[:3] == ["all", "warm", "G1"]
    genrec("validate --config synthetic_popularity.yaml", *few)
    genrec("predict --config synthetic_popularity.yaml --output best.parquet", *few)
    assert pl.read_parquet("best.parquet")["rank"].max() == 50
    capsys.readouterr()
    genrec("report runs/synthetic_popularity runs/synthetic_random --plots figures")
    assert not re.search(r"cold *│", capsys.readouterr().out)
    genrec("compare runs/synthetic_popularity runs/synthetic_random --samples 200")
    compared = capsys.readouterr().out
    assert re.search(r"warm *│ ndcg@50", compared)
    assert not re.search(r"cold *│", compared)


# Bad input


@pytest.fixture
def table(here: Path) -> Path:
    """A folder with a table of 40 users who walk through 30 items, and a config that trains on it."""
    rows = [
        f"user{user},item{(user + step) % 30:02},{100 * step + user}"
        for user in range(40)
        for step in range(8)
        if (user + step) % 30 < 24 or step > 6
    ]
    (here / "ratings.csv").write_text("\n".join(["user,item,timestamp", *rows]))
    items = [{"item": f"item{item:02}", "title": f"thing number {item}"} for item in range(30)]
    (here / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    (here / "mine.yaml").write_text(
        "compose: [backbone/t5_mini.yaml, identifier/setrec.yaml, trainer/quick.yaml]\n"
        "data:\n"
        "  root: .\n"
        "  source:\n"
        "    class_path: Table\n"
        "    init_args: {interactions: ratings.csv, items: items.jsonl}\n"
        "assets: {text: {class_path: TfidfText, init_args: {dim: 4}}}\n"
        "model: {init_args: {ks: [2], identifier: {init_args: {use_cf: false, n_semantic: 2}}}}\n"
        "trainer: {max_epochs: 1, enable_progress_bar: false}\n"
    )
    return here


def test_a_table_of_ones_own_trains(table: Path) -> None:
    genrec("fit --config mine.yaml")
    genrec("test --config mine.yaml")
    assert load_results(table / "runs" / "mine")["items"] == 17, "those that are left of 30 by the 5-core"
    (run,) = (table / "runs" / "mine").iterdir()
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["checkpoint"]["monitor"] == config["early_stopping"]["monitor"] == "val/ndcg@2", "as the cut-offs"


def test_monitors_follow_the_cut_offs_and_can_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    def monitors(*more: str) -> list[str]:
        with contextlib.suppress(SystemExit):
            genrec("fit --config synthetic_setrec.yaml --print_config", *more)
        config = yaml.safe_load(capsys.readouterr().out)
        return [config[name]["monitor"] for name in ("checkpoint", "early_stopping")]

    assert monitors() == ["val/ndcg@10"] * 2
    assert monitors("--model.init_args.ks=[20,1]") == ["val/ndcg@20"] * 2
    one = ["--model.init_args.ks=[10,20]", "--early_stopping.monitor=val/ndcg@10"]
    assert monitors(*one) == ["val/ndcg@20", "val/ndcg@10"], "what is set stays, even if it is the usual one"


def test_a_monitor_that_will_not_be_measured(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = ["--checkpoint.monitor=val/ndcg@10", "--early_stopping.monitor=val/recall@3"]
    said = complaint(capsys, "fit --config synthetic_setrec.yaml --model.init_args.ks=[1,2]", *both)
    assert "`checkpoint.monitor: val/ndcg@10` and `early_stopping.monitor: val/recall@3` will not be measured" in said
    assert "`model.init_args.ks: [1, 2]`: there are val/recall@1, val/ndcg@1, val/recall@2, val/ndcg@2, " in said
    assert not (here / "runs").exists()


def test_a_missing_file(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (table / "ratings.csv").unlink()
    assert "ratings.csv" in complaint(capsys, "fit --config mine.yaml")
    assert not list(table.glob("runs/*")), "nothing of the run that did not start"


def test_a_missing_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert "`nowhere/toys`" in complaint(capsys, "fit --config toys_setrec_small.yaml --data.root nowhere")


def test_a_missing_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert "toys_setrec.yaml" in complaint(capsys, "fit --config toy_setrec.yaml")
    assert "--config" in complaint(capsys, "fit")
    assert "--config" in complaint(capsys, "fit --config")


def test_a_broken_json_line(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (table / "items.jsonl").read_text().splitlines()
    lines[6] = lines[6][:20]
    (table / "items.jsonl").write_text("\n".join(lines))
    assert "items.jsonl, line 7" in complaint(capsys, "fit --config mine.yaml")


class Attack:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, ("touch attacked",))


def test_a_pickle_that_wants_more_than_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "toys").mkdir()
    for name in ("training", "validation", "testing"):
        np.save(here / "toys" / f"{name}_dict.npy", np.array({0: [0, Attack()]}, dtype=object), allow_pickle=True)
    (here / "toys" / "SASRec_item_embed.pkl").write_bytes(pickle.dumps(Attack()))
    said = complaint(capsys, "fit --config toys_setrec_small.yaml --data.root .")
    assert "system" in said
    assert "_dict.npy" in said
    assert not (here / "attacked").exists()


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("trainer: {max_epochz: 3}", "trainer.max_epochz", "max_epochs"),
        ("trainr: {max_epochs: 3}", "trainr.max_epochs", "trainer"),
        (
            "model: {init_args: {identifier: {init_args: {alfa: 3}}}}",
            "model.init_args.identifier.init_args.alfa",
            "alpha",
        ),
        ("data: {max_hystory: 3}", "data.max_hystory", "max_history"),
        ("model: {init_args: {identifier: {class_path: SetRec}}}", "SetRec", "SETRec"),
    ],
)
def test_an_unknown_key_comes_with_the_nearest_valid_one(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, key: str, nearest: str
) -> None:
    (here / "bad.yaml").write_text(f"compose: [synthetic_setrec.yaml]\n{text}")
    said = complaint(capsys, "fit --config bad.yaml")
    assert f"`{key}`; did you mean `{nearest}`?" in said


def test_half_an_option_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(capsys, "fit --config synthetic_setrec.yaml --trainer.max_epoch=3")
    assert "did you mean `max_epochs`?" in said


def test_a_value_of_the_wrong_type(capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(capsys, "fit --config synthetic_setrec.yaml --trainer.max_epochs=many")
    assert "`trainer.max_epochs`: expected a whole number or null, not `many`" in said


def test_a_history_with_items_that_the_item_table_lacks_is_kept_and_said(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (table / "items.jsonl").read_text().splitlines()
    (table / "items.jsonl").write_text("\n".join(lines[:-8]))
    main(["fit", "--config", "mine.yaml"])
    assert "items that the item table lacks, kept without text: 8;" in capsys.readouterr().err


def test_an_empty_split(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = '{class_path: DateSplit, init_args: {t1: "2030-01-01", t2: "2031-01-01"}}'
    assert "empty" in complaint(capsys, "fit --config mine.yaml", f"--data.source.init_args.split={split}")


def test_k_larger_than_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(capsys, "fit --config synthetic_setrec.yaml --model.init_args.ks=[5,1000]", *QUICK)
    assert re.search(r"k = 1000 .*catalogue of `synthetic` \(\d+ items\)", said)


def test_a_data_set_without_text(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (table / "items.jsonl").write_text("\n".join(json.dumps({"item": f"item{item:02}"}) for item in range(30)))
    assert "text" in complaint(capsys, "fit --config mine.yaml")


def test_checkpoints_that_are_none(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "genrec fit" in complaint(capsys, "test --config synthetic_setrec.yaml")
    assert "genrec fit" in complaint(capsys, "fit --config synthetic_setrec.yaml --ckpt_path=last")
    assert "`x.ckpt`" in complaint(capsys, "test --config synthetic_setrec.yaml --ckpt_path=x.ckpt")
    (here / "x.ckpt").write_text("not one")
    assert "not a checkpoint" in complaint(capsys, "test --config synthetic_setrec.yaml --ckpt_path=x.ckpt")


@pytest.mark.usefixtures("trained")
def test_a_checkpoint_of_another_config(capsys: pytest.CaptureFixture[str]) -> None:
    other = "--model.init_args.identifier.init_args.n_semantic=2"
    said = complaint(capsys, "test --config synthetic_setrec.yaml", other, *QUICK)
    assert "other settings" in said


def test_predictions_in_an_unknown_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert "x.txt" in complaint(capsys, "predict --config synthetic_popularity.yaml --output x.txt", *QUICK)


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert "`fit`" in complaint(capsys, "fitt --config synthetic_setrec.yaml")


def test_runs_that_cannot_be_reported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "genrec test" in complaint(capsys, "report runs/nothing")
    assert "takes the folders of runs" in complaint(capsys, "report")
    assert "--form" in complaint(capsys, "report runs --form=csv")
    assert "RUN_B" in complaint(capsys, "compare runs/nothing")
    (here / "metrics.json").write_text("{}")
    assert "another version" in complaint(capsys, "report .")
    assert "another version" in complaint(capsys, "compare . .")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough(here: Path, unbuffered: str) -> None:
    """`genrec report RUN | head` ends without a word."""
    genrec("test --config synthetic_popularity.yaml", *QUICK)
    command = [sys.executable, "-m", "genrec", "report", "runs/synthetic_popularity", "--format=csv"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


def test_help_is_quick() -> None:
    code = (
        "import sys; from genrec.cli import main; main(['--help'])\n"
        "assert not {'torch', 'lightning', 'polars', 'matplotlib', 'rich'} & set(sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    for command in ("fit", "test", "validate", "predict", "prepare", "report", "compare"):
        assert f"\n  {command} " in said


def test_help_and_mistakes_of_recommend_are_quick() -> None:
    code = (
        "import sys; from genrec.cli import main\n"
        "for arguments in (['recommend', '--help'], ['recommend', '--runn', 'x']):\n"
        "    try: main(arguments)\n"
        "    except SystemExit as ended: print('ended with', ended.code)\n"
        "assert not {'torch', 'lightning', 'transformers'} & set(sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert re.findall(r"ended with (\d)", said) == ["0", "2"]


def test_help_lists_the_packaged_configs_by_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    genrec("--help")
    listed = capsys.readouterr().out.split("\npackaged configs ")[1]
    assert max(map(len, listed.splitlines())) <= 110
    paragraphs = re.findall(r"^  (\w+): (.*(?:\n    .*)*)", listed, re.MULTILINE)
    names = [f"{data}_{model}.yaml" for data, models in paragraphs for model in re.split(r",\s+", models)]
    assert sorted(names) == sorted(path.name for path in (ROOT / "configs").glob("*.yaml"))


# The README


@pytest.mark.slow
def test_quickstart_keeps_its_promise(here: Path) -> None:
    """`make quickstart`, without the installation: five times popularity, and seven times chance on new items."""
    recipe = (ROOT / "Makefile").read_text().split("quickstart: install\n")[1].split("\n\n")[0]
    *commands, farewell = recipe.splitlines()
    assert farewell.startswith("\t@echo ")
    for line in commands:
        assert line.startswith("\t$(BIN)/genrec ")
        genrec(line.removeprefix("\t$(BIN)/genrec "))
    setrec, popularity = (load_results(f"runs/synthetic_{name}")["settings"] for name in ("setrec", "popularity"))
    assert setrec["all"]["ndcg@10"] >= 5 * popularity["all"]["ndcg@10"]
    chance = 10 / (~Synthetic().load(here).warm).sum()
    assert setrec["cold"]["recall@10"] >= 7 * chance


def test_the_readme_python_runs(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(code.replace('"DIR"', repr(str(shared / "data" / "setrec"))), {})
    assert "15635 users, 11908 items, 11285 warm" in capsys.readouterr().out

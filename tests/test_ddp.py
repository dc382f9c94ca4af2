"""Two processes on one machine (gloo) must give what one gives."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from genrec.cli import main
from genrec.evaluation import ranks
from genrec.runs import layout

from .pair import run_pair

SMALL = [
    "--data.source.init_args.users=100",
    "--data.source.init_args.items=140",
    "--assets.cf.init_args.max_epochs=2",
    "--data.max_history=6",
]
CONFIG = Path(__file__).with_name("setrec_t5.yaml")
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
# Adam makes steps of the same size out of gradients that are all but zero, so rounding errors grow: double precision.
EXACT = ["--model.init_args.backbone.init_args.sizes.dropout_rate=0", "--trainer.precision=64-true"]


@pytest.mark.slow
def test_two_processes_train_and_count_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    two = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp"]
    curves, results, tables = [], [], []
    for name, batch, devices in (("one", 32, ["--trainer.accelerator=cpu"]), ("two", 16, two)):
        command = [f"--config={CONFIG}", f"--runs={name}", *SMALL, *QUIET, *EXACT, *devices]
        for words in (["fit", *command, "--trainer.max_epochs=2", f"--data.batch_size={batch}"], ["test", *command]):
            if devices is two:
                assert run_pair("-m", "genrec", *words) == [0, 0]
            else:
                main(words)
        (run,) = (tmp_path / name / CONFIG.stem).iterdir()
        curves.append(pl.read_csv(run / "logs" / "version_0" / "metrics.csv").filter(pl.col("val/loss").is_not_null()))
        results.append(json.loads((run / "metrics.json").read_text())["settings"])
        tables.append(ranks.read(run / layout.RANKS))
        assert sorted(path.name for path in run.glob("*ranks*")) == ["ranks.parquet"], "the first process writes"
    assert len(curves[0]) == len(curves[1]) == 2
    for name in ("val/ndcg@10", "val/recall@10", "val/warm/ndcg@10", "val/cold/ndcg@10"):
        assert curves[1][name].to_list() == pytest.approx(curves[0][name].to_list(), abs=1e-4), name
    for setting, values in results[0].items():
        assert results[1][setting]["users"] == values["users"], "every user is counted once"
        assert results[1][setting] == pytest.approx(values, abs=1e-4, nan_ok=True)
    names = ["recall@5", "recall@10", "ndcg@5", "ndcg@10"]
    for table, result in zip(tables, results, strict=True):
        for setting, values in ranks.means(table, names).items():
            assert result[setting] == pytest.approx(values, abs=1e-12, nan_ok=True)
    who = [table.select("user", "item", "group") for table in tables]
    assert who[0].equals(who[1]), "every target of every user, once"
    assert who[0].is_unique().all()

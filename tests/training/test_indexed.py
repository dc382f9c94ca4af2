"""``--index``: what a test loses by searching an index of the items, and predictions that search one."""

from __future__ import annotations

import json
from pathlib import Path

import lightning
import polars as pl
import pytest
import torch

from genrec.cli import main

from ..served import SETREC, TIGER, make_run, recommender


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path, recommender(SETREC))
    file = run / "checkpoints" / "best.ckpt"
    torch.save({**torch.load(file), "pytorch-lightning_version": lightning.__version__}, file)
    return run


def genrec(command: str, run: Path) -> None:
    main([*command.split(), "--config", str(run / "config.yaml"), "--trainer.enable_progress_bar=false"])


def test_a_test_says_what_an_index_costs(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    genrec("test", run)
    expected = json.loads((run / "metrics.json").read_text())
    # Hardly anything is looked at, so that something is lost.
    monkeypatch.setattr("genrec.training.indexed.Indexing.build.__defaults__", (0.2, None))
    capsys.readouterr()
    genrec("test --index ivf", run)
    said = capsys.readouterr().out
    cost = json.loads((run / "index_ivf.json").read_text())
    own = json.loads((run / "metrics.1.json").read_text())
    assert own["settings"] == expected["settings"] == cost["exact"]
    assert not own["overrides"]
    assert pl.read_parquet(run / "ranks.parquet").equals(pl.read_parquet(run / "ranks.1.parquet"))
    assert 0.2 <= cost["share"] < 1
    assert set(cost["found"]) == set(cost["exact"]) >= {"all", "warm", "cold"}
    lost = cost["lost"]["all"]
    assert lost["ndcg@10"] == pytest.approx(cost["exact"]["all"]["ndcg@10"] - cost["found"]["all"]["ndcg@10"])
    assert any(lost.values())
    assert "users" not in lost
    for number in (cost["exact"]["all"]["ndcg@10"], cost["found"]["all"]["ndcg@10"], lost["ndcg@10"]):
        assert f"{number:.4f}" in said
    assert (run / "index" / "best-ivf.safetensors").is_file()
    capsys.readouterr()
    genrec("test --index exact", run)
    assert not any(json.loads((run / "index_exact.json").read_text())["lost"]["cold"].values())


def test_predictions_search_the_index(run: Path) -> None:
    genrec("predict --output without.parquet", run)
    genrec("predict --index hnsw --output with.parquet", run)
    without, found = pl.read_parquet("without.parquet"), pl.read_parquet("with.parquet")
    assert found.columns == without.columns
    assert found["user"].equals(without["user"])
    same = without.join(found, on=["user", "item"])
    assert len(same) >= 0.95 * len(without)
    assert same["score"].to_list() == pytest.approx(same["score_right"].to_list(), abs=1e-4)


def test_a_method_without_vectors_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path, recommender(TIGER))
    for command in ("test", "predict"):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            genrec(f"{command} --index ivf", run)
        assert ended.value.code == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("genrec: error: TIGER ranks items neither by one inner product each nor by a sum")
    with pytest.raises(SystemExit):
        genrec("test --index best", run)
    assert "exact" in capsys.readouterr().err.splitlines()[-1]

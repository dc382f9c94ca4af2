"""Recommenders without a language model that are no part of the core, through every command that takes them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import polars as pl
import pytest

import genrec
from genrec.cli import main

TINY = """\
data: {batch_size: 30, rank_batch_size: 30, source: {init_args: {users: 60, items: 120}}}
model: {init_args: {dim: 8}}
trainer: {max_epochs: 1, enable_progress_bar: false, enable_model_summary: false, logger: false}
"""


def run(command: str) -> None:
    main(shlex.split(command))


@pytest.mark.parametrize("name", ["gsasrec", "gru4rec", "bert4rec", "hstu"])
def test_every_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(f"compose: [synthetic_{name}.yaml]\n{TINY}")
    run("fit --config mine.yaml")
    run("test --config mine.yaml")
    (folder,) = Path("runs/mine").iterdir()
    results = json.loads((folder / "metrics.json").read_text())
    assert (results["method"].lower(), results["backbone"]) == (name, None)
    assert {"all", "warm", "cold"} <= results["settings"].keys()
    run("predict --config mine.yaml --output best.parquet")
    best = pl.read_parquet("best.parquet")
    assert best["user"].n_unique() == 60
    capsys.readouterr()
    run(f"report {folder} --format markdown")
    assert results["method"] in capsys.readouterr().out
    served = genrec.load(folder)
    histories = [served.catalog.keys[:3], []]
    found = served.recommend(histories, k=3)
    served.save_pretrained("saved")
    assert genrec.load("saved").recommend(histories, k=3).equals(found)
    with pytest.raises(SystemExit):
        run(f"inspect {folder}")
    assert f"{results['method']} has no identifier" in capsys.readouterr().err

"""The documentation's examples do what they say."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from genrec.assets import Assets, TfidfText
from genrec.cli import main
from genrec.data import Dataset
from genrec.runs.results import load_results
from genrec.testing import tiny_backbone

PAGE = Path(__file__).resolve().parents[1] / "docs" / "adding_an_identifier.md"
QUICK = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "5", "--trainer.enable_progress_bar", "false"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files, as a reader would have it."""
    files = re.findall(r"Write `([\w.]+)`.*?```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert [name for name, _ in files] == ["simhash.py", "simhash.yaml"]
    for name, content in files:
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "simhash", raising=False)
    return tmp_path


def test_the_commands_run(here: Path) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert [line.split()[:2] for line in commands] == [["genrec", verb] for verb in ("fit", "test", "fit")]
    for command in commands:
        main([*shlex.split(command)[1:], *QUICK])
    results = load_results(here / "runs" / "simhash")
    assert results["method"] == "SimHash"
    assert results["settings"]["all"]["users"] == results["users"]


def test_the_example_names_items_as_it_says(here: Path, dataset: Dataset) -> None:
    import simhash  # type: ignore[import-not-found]

    identifier, assets = simhash.SimHash(), Assets(TfidfText(dim=8), root=str(here)).bind(dataset)
    identifier.setup(dataset.catalog, assets, tiny_backbone("t5"))
    names = [identifier.names.show(item) for item in range(12)]
    assert len(set(names)) == 12
    assert all(re.fullmatch(r"<a\d+><b\d+><c\d+><\d+>", name) for name in names)
    planes = np.sign((assets.text - assets.text.mean(0)) @ identifier.planes)
    alike = (planes[:, None] == planes).float().mean(2)
    trains = torch.arange(12) < 6
    assert alike[trains][:, trains].mean() > alike[trains][:, ~trains].mean() + 0.2

    before = identifier.names.codes.clone()
    longer = dataset.catalog.extend(dataset.catalog.items[:1].with_columns(item=pl.lit("new")))
    identifier.index(longer, assets.extend(longer))
    assert torch.equal(identifier.names.codes[:12], before)
    assert identifier.names.show(12).rpartition("<")[0] == names[0].rpartition("<")[0]
    assert identifier.names.show(12) not in names

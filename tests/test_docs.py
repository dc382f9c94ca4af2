"""The documentation's examples do what they say."""

from __future__ import annotations

import re
import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from genrec.assets import Assets, TfidfText
from genrec.cli import main
from genrec.data import Dataset
from genrec.runs.results import load_results
from genrec.testing import HISTORY, TinyModel, tiny_assets, tiny_backbone

DOCS = Path(__file__).resolve().parents[1] / "docs"
QUICK = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "5", "--trainer.enable_progress_bar", "false"]
PAGES = {"adding_an_identifier.md": "simhash", "no_sequence.md": "myrpg"}
"""The guides, and what their identifier's files are called."""


def text(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def commands(page: str) -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", text(page), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def open_page(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder with the page's files, as a reader would have it; the module of its identifier."""
    name = PAGES[page]
    files = re.findall(r"Write `([\w.]+)`.*?```\w+\n(.*?)```", text(page), re.DOTALL)
    assert sorted(file for file, _ in files) == sorted([f"{name}.py", f"{name}.yaml", f"test_{name}.py"])
    for file, content in files:
        (folder / file).write_text(content, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    for module in (name, f"test_{name}"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return import_module(name)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    method = open_page(page, tmp_path, monkeypatch)
    genrec = [command[1:] for command in commands(page) if command[0] == "genrec"]
    assert [command[0] for command in genrec][:2] == ["fit", "test"]
    for command in genrec:
        main([*command, *(QUICK if command[0] in ("fit", "test") else [])])
    assert "/checkpoints/best.ckpt, the best checkpoint of the newest run of" in capsys.readouterr().out
    results = load_results(tmp_path / "runs" / method.__name__)
    assert results["method"].lower() == method.__name__
    assert results["settings"]["all"]["users"] == results["users"]


@pytest.mark.parametrize("page", PAGES)
def test_the_contract_holds(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_page(page, tmp_path, monkeypatch)
    ((_, file),) = [command for command in commands(page) if command[0] == "pytest"]
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), f"--basetemp={tmp_path / 'base'}"]
    assert pytest.main([file, *options]) == pytest.ExitCode.OK


def test_a_recipe_of_ones_own_whitens(dataset: Dataset, tmp_path: Path) -> None:
    (block,) = re.findall(
        r"```python\n((?:(?!```).)*FromEmbeddings\):.*?)```", text("adding_an_identifier.md"), re.DOTALL
    )
    written: dict[str, Any] = {"__name__": __name__}
    exec(block, written)
    assets = Assets(TfidfText(dim=4), root=str(tmp_path)).bind(dataset)
    built = assets.built(written["Whitening"]())
    white = (assets.text.numpy() - built["mean"]) @ built["matrix"]
    # A direction in which no item differs from another stays one.
    spread = np.linalg.eigvalsh(np.cov(assets.text.numpy().T))
    assert (spread > 0.01).sum() >= 3
    np.testing.assert_allclose(np.cov(white.T), np.diag(spread / (spread + 1e-6)), atol=1e-4)


def test_simhash_names_items_as_it_says(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simhash = open_page("adding_an_identifier.md", tmp_path, monkeypatch)
    identifier, assets = simhash.SimHash(), Assets(TfidfText(dim=8), root=str(tmp_path)).bind(dataset)
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


def test_rpg_scores_items_as_it_says(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every item's mean of log-probabilities, one code after the other; those without text have the same codes."""
    rpg = open_page("no_sequence.md", tmp_path, monkeypatch)
    recipe = rpg.ProductCodes(digits=4, size=4, seed=0)
    model = TinyModel(rpg.MyRPG(recipe), tiny_backbone("causal"), dataset, tiny_assets(dataset, tmp_path))
    model.add(pl.DataFrame({"item": ["new0", "new1"], "title": ["blue boat number 3"] * 2}))
    memory, codes, table = model.read(HISTORY), model.identifier.codes, model.identifier.embeddings
    assert torch.equal(codes[12], codes[13])
    states, table = model.backbone.write(memory, model.identifier._query()).detach(), table.detach()
    found = model.rank(HISTORY)
    for user in range(3):
        expected = []
        for item in range(14):
            chances = [
                (torch.cosine_similarity(states[user, digit], table[digit]) / 0.07).log_softmax(0)[codes[item, digit]]
                for digit in range(4)
            ]
            expected.append(float(sum(chances)) / 4)
        assert found.scores[0, user].tolist() == pytest.approx([expected[item] for item in found.items[0, user]])
        places = found.items[0, user].tolist()
        assert places.index(13) == places.index(12) + 1

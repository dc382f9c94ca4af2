"""LC-Rec: codes that are an item's own, and the tasks that come with it."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import optuna
import polars as pl
import pytest
import torch
import yaml

import genrec
from genrec.assets import Assets, ItemAssets, RQKMeansCodes, RQVAECodes, TfidfText
from genrec.assets.codes.fitting import Training
from genrec.backbones import CausalBackbone, T5Backbone
from genrec.cli import main
from genrec.config.files import PACKAGED, load_config
from genrec.data import Dataset, InMemory, SequenceData, Synthetic, Task
from genrec.recommenders.recommender import Recommender
from genrec.study.journal import open_study
from genrec.study.tuning import tune
from genrec.testing import quiet_trainer, tiny_backbone
from genrec.testing.tiny import QWEN, T5
from genrec_baselines import LCRec

QUICK = RQVAECodes(levels=4, size=20, epsilon=0.003, training=Training(steps=20, batch_size=16))
CONFIG = yaml.safe_load((PACKAGED / "identifier/lcrec.yaml").read_text(encoding="utf-8"))
TASKS = {name: Task(**task) for name, task in CONFIG["data"]["tasks"].items()}
TEMPLATE = CONFIG["model"]["init_args"]["template"]
TINY = """\
compose: [data/synthetic.yaml, identifier/lcrec.yaml, trainer/causal_small.yaml, backbone/qwen_tiny.yaml]
data:
  batch_size: 60
  source: {init_args: {users: 60, items: 60}}
  queries: queries.csv
  tasks: {item_of_query: {prompts: ["Somebody says <query>."]}}
model:
  init_args:
    ks: [1, 5]
    backbone: {init_args: {sizes: {hidden_size: 16, num_hidden_layers: 1, intermediate_size: 16}}}
    identifier:
      init_args:
        search: {beams: 5}
        codes:
          class_path: RQVAECodes
          init_args: {levels: 4, size: 8, epsilon: 0.003, training: {steps: 20, batch_size: 64}}
trainer: {max_epochs: 1, enable_progress_bar: false, enable_model_summary: false}
"""
SEARCH = """\
config: mine.yaml
trials: 1
space: {data.tasks.next_title.weight: [0.25, 0.5]}
"""


@pytest.fixture
def assets(dataset: Dataset, tmp_path: Path) -> ItemAssets:
    return Assets(text=TfidfText(dim=8), root=str(tmp_path)).bind(dataset)


def test_every_item_has_four_codes_of_its_own(dataset: Dataset, assets: ItemAssets) -> None:
    """And keeps them, whoever comes."""
    lcrec = LCRec(QUICK)
    lcrec.setup(dataset.catalog, assets, tiny_backbone("t5"))
    codes, sizes = lcrec.item_codes()
    assert codes.tolist() == assets.codes(QUICK).tolist()
    assert len(codes.unique(dim=0)) == 12
    assert sizes == [20] * 4
    assert len(lcrec.names.tokens) == 80
    assert lcrec.describe(0) == "".join(f"<{letter}_{code}>" for letter, code in zip("abcd", codes[0], strict=True))
    more = dataset.catalog.extend(pl.DataFrame({"item": ["new", "twin"], "title": ["red train number 0"] * 2}))
    lcrec.index(more, assets.extend(more))
    later, _ = lcrec.item_codes()
    assert torch.equal(later[:12], codes)
    assert len(later.unique(dim=0)) == 14


def test_codes_that_items_may_share_get_a_number(dataset: Dataset, assets: ItemAssets) -> None:
    lcrec = LCRec(RQKMeansCodes(levels=2, size=2, seed=0))
    lcrec.setup(dataset.catalog, assets, tiny_backbone("t5"))
    codes, sizes = lcrec.item_codes()
    assert sizes == [2, 2, 256]
    assert len(codes.unique(dim=0)) == 12


def test_its_tasks_ask_in_all_directions() -> None:
    """With several prompts each; the one that ranks is learned."""
    assert TEMPLATE in TASKS["next_item"].prompts
    directions = {(task.of_users, task.packs, task.names_item) for task in TASKS.values()}
    assert directions == {
        (True, True, True),
        (True, True, False),
        (True, False, True),
        (False, False, True),
        (False, False, False),
    }
    assert all(len(set(task.prompts)) == len(task.prompts) > 1 for task in TASKS.values())


@pytest.mark.parametrize("kind", ["t5", "packed"])
def test_it_learns_from_all_of_them(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    backbone = T5Backbone(sizes=dict(T5)) if kind == "t5" else CausalBackbone(sizes=dict(QWEN))
    torch.manual_seed(0)
    module = Recommender(
        LCRec(QUICK),
        backbone,
        Assets(text=TfidfText(dim=8), root=str(tmp_path)),
        TEMPLATE,
        lambda parameters: torch.optim.AdamW(parameters, 1e-2),
        warmup_steps=2,
        ks=(1, 2),
    )
    samples: Any = "prefixes" if kind == "t5" else "windows"
    data = SequenceData(InMemory(dataset), batch_size=32, samples=samples, tasks=TASKS, seed=0)
    found = []
    for _ in range(2):
        trainer = quiet_trainer(max_epochs=4, limit_val_batches=0)
        trainer.fit(module, data)
        found.append({name: float(value) for name, value in trainer.callback_metrics.items()})
    assert found[1]["train/texts"] < found[0]["train/texts"] < 6
    assert found[1]["train/items"] < found[0]["train/items"] < 6


def test_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(TINY)
    Path("weights.yaml").write_text(SEARCH)
    keys = Synthetic(users=60, items=60).load(tmp_path).catalog.keys
    Path("queries.csv").write_text("item,query\n" + "".join(f"{key},I want {key}\n" for key in keys))
    tune(["weights.yaml"], execute=in_this_process)
    asked = re.search(r"queries of items that training lacks, which are not asked: (\d+)", capsys.readouterr().err)
    assert asked, "the shop has cold items"
    Path("queries.csv").unlink()  # whoever tests asks nothing else
    (trial,) = open_study(Path("studies/weights")).trials
    assert trial.state == optuna.trial.TrialState.COMPLETE
    (folder,) = Path("studies/weights/trial0/mine").iterdir()
    learned = load_config(str(folder / "config.yaml"))["data"]["tasks"]["next_title"]
    assert [learned["weight"]] == list(trial.params.values())
    best = folder / "checkpoints" / "best.ckpt"
    command(f"test --config mine.yaml --ckpt_path {best}")
    assert json.loads((folder / "metrics.json").read_text())["method"] == "LCRec"
    command(f"predict --config mine.yaml --ckpt_path {best} --output lists.parquet")
    assert pl.read_parquet("lists.parquet")["user"].n_unique() == 60
    capsys.readouterr()
    command(f"inspect {folder}")
    assert "<a_" in capsys.readouterr().out
    served = genrec.load(folder)
    history = served.catalog.keys[:3]
    command(f"recommend --run {folder} --history {','.join(history)} --k 3")
    found = served.recommend([history, []], k=3)
    assert found["title"][0] in capsys.readouterr().out
    served.save_pretrained("saved")
    assert genrec.load("saved").recommend([history, []], k=3).equals(found)
    command(f"report {folder} --format markdown")
    assert "LCRec" in capsys.readouterr().out


def command(line: str) -> None:
    main(shlex.split(line))


def in_this_process(arguments: Sequence[str], log: Path, lock: IO[str]) -> str | None:
    with log.open("a") as out, contextlib.redirect_stdout(out):
        main(arguments)
    return None

"""Data that changed after the training: items are found by their keys, or one line says what changed."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from genrec import load
from genrec.cli import main
from genrec.data import Catalog, Dataset, Ragged
from genrec.data.origin import ENTRY, Origin
from genrec.data.sources.synthetic import Synthetic
from genrec.errors import GenrecError

QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--data.rank_batch_size=64"]
SHOP = {
    "class_path": "genrec.data.Table",
    "init_args": {
        "interactions": "shop.csv",
        "items": "items.jsonl",
        "k_core": 1,
        "split": {"class_path": "genrec.data.LeaveOneOut"},
    },
}


def genrec(command: str) -> None:
    main([*shlex.split(command), *QUIET])


def write(rows: pl.DataFrame, items: pl.DataFrame) -> None:
    rows.write_csv("shop.csv")
    items.write_ndjson("items.jsonl")


@pytest.fixture(scope="module")
def shop() -> tuple[pl.DataFrame, pl.DataFrame]:
    """A log in the order of users, with one who has taken too little to count; and the items, one of them untaken."""
    made = Synthetic(users=150, items=140).load("data")
    lists = made.train.join(made.validation).join(made.test)
    keys = made.catalog.keys
    rows = [(made.users[user], keys[item]) for user, items in enumerate(lists) for item in items]
    rows = [*dict.fromkeys(rows), ("a visitor", rows[0][1]), ("a visitor", rows[9][1]), ("a visitor", rows[20][1])]
    log = pl.DataFrame(rows, schema=["user", "item"], orient="row").with_columns(
        pl.Series("timestamp", np.arange(len(rows)) * 60 + 10**9)
    )
    new = {"item": "brand-new", "title": "A thing that nobody took", "brand": None, "categories": ["Toys"]}
    items = made.catalog.items.select("item", "title", "brand", "categories")
    return log, pl.concat([items, pl.DataFrame([new], schema=items.schema)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, shop: tuple[pl.DataFrame, pl.DataFrame]) -> dict[str, Path]:
    """A run of each method, where the working folder was."""
    here = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        write(*shop)
        for method, config in (("sasrec", "--model.init_args.dim 16"), ("setrec", "--data.max_history 6")):
            genrec(f"fit --config synthetic_{method}.yaml --trainer.max_epochs 1 {config} --data.source '{SOURCE}'")
            genrec(f"test --config synthetic_{method}.yaml")
    return {method: next((here / "runs" / f"synthetic_{method}").iterdir()) for method in ("sasrec", "setrec")}


SOURCE = json.dumps(SHOP)


def visit(log: pl.DataFrame, item: str) -> pl.DataFrame:
    """The visitor takes a fourth item, so that he counts; his key is the first, so that all items move."""
    last = pl.DataFrame({"user": ["a visitor"], "item": [item], "timestamp": [5 * 10**9]}, schema=log.schema)
    return pl.concat([log, last])


Change = Callable[[pl.DataFrame, pl.DataFrame], tuple[pl.DataFrame, pl.DataFrame]]
CHANGES: dict[str, Change] = {
    "sorted": lambda log, items: (log.sort("item", "timestamp"), items.reverse()),
    "visitor": lambda log, items: (visit(log, log["item"][30]), items),
    "new": lambda log, items: (visit(log, "brand-new"), items),
    "gone": lambda log, items: (log.filter(pl.col("item") != log["item"][0]), items),
}


@pytest.fixture
def changed(
    trained: dict[str, Path],
    shop: tuple[pl.DataFrame, pl.DataFrame],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Path]:
    monkeypatch.chdir(trained["sasrec"].parents[2])
    write(*CHANGES[request.param](*shop))
    return trained


def ranks(run: Path, file: str) -> pl.DataFrame:
    """Where the targets of the old users stood among all items."""
    frame = pl.read_parquet(run / file).filter(pl.col("user") != "a visitor")
    return frame.sort(*[name for name in frame.columns if frame[name].dtype == pl.String])


def refused(capsys: pytest.CaptureFixture[str], command: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        genrec(command)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("genrec: error: "))
    assert end.value.code == 2
    return line


@pytest.mark.parametrize("changed", ["visitor"], indirect=True)
@pytest.mark.parametrize("method", ["sasrec", "setrec"])
def test_items_are_found_by_their_keys(
    changed: dict[str, Path], method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = changed[method]
    before = pl.read_parquet(run / "ranks.parquet")
    first = ranks(run, "ranks.parquet")
    capsys.readouterr()
    genrec(f"test --config synthetic_{method}.yaml")
    said = capsys.readouterr()
    assert re.search(r"the data are not those of the training: [\d,]+ items? moved to other rows, ", said.err)
    assert "building" not in said.out, "the assets are those of the training"
    assert any("other data: " in text for text in json.loads((run / "metrics.json").read_text())["overrides"])
    assert first.equals(ranks(run, "ranks.parquet"))
    before.write_parquet(run / "ranks.parquet")


@pytest.mark.parametrize("changed", ["sorted"], indirect=True)
def test_the_order_of_rows_changes_nothing(changed: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run = changed["sasrec"]
    first = ranks(run, "ranks.parquet")
    genrec("test --config synthetic_sasrec.yaml")
    assert "not those of the training" not in capsys.readouterr().err
    assert first.equals(ranks(run, "ranks.parquet"))


@pytest.mark.parametrize("changed", ["new"], indirect=True)
def test_items_that_came_are_added(changed: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    genrec("validate --config synthetic_setrec.yaml")
    assert "the data are not those of the training: 1 item came, " in capsys.readouterr().err
    assert "1 item came" in refused(capsys, "test --config synthetic_sasrec.yaml")
    served = load(changed["setrec"])
    known = served.recommend([["brand-new"]], k=5)
    assert served.catalog.keys[-1] == "brand-new"
    served.save_pretrained("saved")
    assert load("saved").recommend([["brand-new"]], k=5).equals(known)


@pytest.mark.parametrize("changed", ["visitor"], indirect=True)
def test_recommendations_are_those_of_the_training(
    changed: dict[str, Path], shop: tuple[pl.DataFrame, pl.DataFrame], capsys: pytest.CaptureFixture[str]
) -> None:
    histories = [shop[0]["item"][:5].to_list(), shop[0]["item"][40:44].to_list()]
    for run in changed.values():
        moved = load(run).recommend(histories, k=5)
        assert "moved to other rows" in capsys.readouterr().err
        write(*shop)
        assert moved.equals(load(run).recommend(histories, k=5))
        assert "moved" not in capsys.readouterr().err
        write(*CHANGES["visitor"](*shop))


@pytest.mark.parametrize("changed", ["gone"], indirect=True)
@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_an_item_that_is_gone(
    changed: dict[str, Path],
    command: str,
    shop: tuple[pl.DataFrame, pl.DataFrame],
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = refused(capsys, f"{command} --config synthetic_sasrec.yaml")
    assert re.search(rf"best.ckpt` was trained on other data: 1 item went \(such as `{shop[0]['item'][0]}`\), ", line)
    assert "the split changed (training" in line
    with pytest.raises(GenrecError, match="1 item went"):
        load(changed["setrec"])


@pytest.mark.parametrize("changed", ["sorted"], indirect=True)
def test_items_of_other_data_sets_are_read_and_never_recommended(
    changed: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config, run = "--config synthetic_setrec.yaml", changed["setrec"]
    foreign = f"--data.foreign.sources '[{SOURCE}]' --data.foreign.history foreign"
    genrec(f"test {config}")
    there = set(run.glob("metrics*.json"))
    genrec(f"test {config} {foreign}")
    (metrics,) = set(run.glob("metrics*.json")) - there
    found, own = (json.loads(path.read_text()) for path in (metrics, run / "metrics.json"))
    assert found["items"] == own["items"]
    assert found["users"] == own["users"], "everybody is a user of the same shop"
    assert found["settings"]["all"]["ndcg@10"] != own["settings"]["all"]["ndcg@10"], "other items were read"
    genrec(f"predict {config} {foreign} --data.foreign.users theirs --output theirs.parquet")
    best = pl.read_parquet("theirs.parquet")
    assert best["user"].n_unique() == own["users"]
    assert not best["item"].str.contains(":").any()
    assert "without it: give its checkpoint to `genrec test`" in refused(capsys, f"fit {config} {foreign}")
    line = refused(capsys, f"test --config synthetic_sasrec.yaml {foreign}")
    assert "was trained on other data: " in line


@pytest.mark.parametrize("changed", ["visitor", "new", "gone"], indirect=True)
def test_a_fit_does_not_go_on_with_other_data(changed: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, "fit --config synthetic_sasrec.yaml --ckpt_path last --trainer.max_epochs 2")
    assert "last.ckpt` was trained on other data: " in line


def test_what_changed(dataset: Dataset) -> None:
    origin = Origin.of(dataset, {})
    kept = Origin.read({ENTRY: origin.state()})
    assert kept
    assert kept.changes(dataset) == []
    order = [*range(1, 12), 0]
    items = Catalog(dataset.catalog.items[order])
    lists = [Ragged((part.values - 1) % 12, part.offsets) for part in (dataset.train, dataset.validation, dataset.test)]
    moved = Dataset("twelve", items, dataset.users, *lists)
    assert kept.changes(moved) == ["12 items moved to other rows"]
    again = kept.renumbered(moved)
    assert again.catalog.keys == dataset.catalog.keys
    assert again.test.values.tolist() == dataset.test.values.tolist()
    told = Catalog(dataset.catalog.items.with_columns(title=pl.lit("other")))
    longer = Ragged.from_lists([[*row, 0] for row in dataset.train])
    other = Dataset("twelve", told, [*dataset.users[1:], "new"], longer, dataset.validation, dataset.test)
    assert kept.changes(other) == [
        "what is known of the items changed",
        "the users are others, or in another order",
        "the split changed (training, validation, test)",
    ]


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {},
        {"keys": torch.zeros(3)},
        {"keys": torch.zeros(3, dtype=torch.uint8), "counts": 1},
        *({"ends": torch.tensor(ends)} for ends in ([-1, 2], [2, 1], [2, 2**40], [[1, 2]], [1.0, 2.0])),
        {"keys": torch.tensor([255, 65], dtype=torch.uint8)},
        {"keys": torch.tensor([65, 65], dtype=torch.uint8)},
    ],
)
def test_an_origin_that_makes_no_sense(entry: object) -> None:
    if isinstance(entry, dict) and len(entry) == 1:
        whole = {"keys": torch.tensor([65, 66], dtype=torch.uint8), "ends": torch.tensor([1, 2])}
        rest = {"counts": torch.tensor([1, 2]), "texts": "", "users": 1, "order": "", "splits": []}
        assert Origin.read({ENTRY: {**whole, **rest}}).keys == ["A", "B"]
        entry = {**whole, **rest, **entry}
    with pytest.raises(GenrecError, match="does not say what it was trained on"):
        Origin.read({ENTRY: entry})

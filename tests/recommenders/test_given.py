from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from genrec.data import Dataset, InMemory, SequenceData
from genrec.errors import GenrecError
from genrec.recommenders import GivenRanking, ItemKNN
from genrec.testing import quiet_trainer


def ranked(dataset: Dataset, k: int = 12) -> tuple[ItemKNN, pl.DataFrame]:
    """A method of ours, tested, and its lists of all items or the best."""
    knn, data = ItemKNN(ks=(1, 2)), SequenceData(InMemory(dataset))
    quiet_trainer().test(knn, data, verbose=False)
    (batch,) = data.test_dataloader()
    items = knn.rank(batch.history, k, torch.ones(1, 12, dtype=torch.bool)).items[0].numpy()
    users = dataset.users.at(batch.users.numpy().repeat(k))
    keys, places = dataset.catalog.keys.at(items.ravel()), np.tile(np.arange(1, k + 1), len(items))
    # In any order: ranks say which is the best.
    return knn, pl.DataFrame({"user": users, "rank": places, "item": keys}).sample(fraction=1, shuffle=True, seed=0)


def measured(dataset: Dataset, path: Path) -> GivenRanking:
    given = GivenRanking(str(path), "elsewhere", ks=(1, 2))
    quiet_trainer().test(given, SequenceData(InMemory(dataset), rank_batch_size=3), verbose=False)
    return given


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_what_was_ranked_elsewhere_is_measured_as_if_here(
    dataset: Dataset, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    knn, lists = ranked(dataset)
    path = tmp_path / f"lists.{suffix}"
    getattr(lists, f"write_{suffix}")(path)
    given = measured(dataset, path)
    assert given.method == "elsewhere"
    np.testing.assert_equal(given.results, knn.results)
    assert given.ranks.collect().equals(knn.ranks.collect())
    assert "random" not in capsys.readouterr().out


def test_short_lists_end_in_random_order_which_is_said(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    knn, lists = ranked(dataset, 2)
    lists.write_parquet(tmp_path / "lists.parquet")
    given = measured(dataset, tmp_path / "lists.parquet")
    np.testing.assert_equal(given.results["all"], knn.results["all"])
    # Two items are listed: cold candidates of theirs, if any, come first.
    cold = ~dataset.warm[dataset.catalog.rows(lists["item"].to_list())]
    filled = int((np.bincount(dataset.users.column.search_sorted(lists["user"]), cold) < 2).sum())
    said = capsys.readouterr().out
    assert "of 24 lists, those of all settings, have fewer than 2 candidates, and end in random order" in said
    assert int(said.split(": ")[1].split(" of")[0]) >= filled > 0


WRONG = {
    "has a user that twelve does not have": {"user": "nobody"},
    "has an item that twelve does not have": {"item": "nothing"},
    "has no whole number from 1 on as its rank": {"rank": None},
}


@pytest.mark.parametrize("why", WRONG)
def test_a_bad_row_is_named(dataset: Dataset, tmp_path: Path, why: str) -> None:
    _, lists = ranked(dataset)
    bad = pl.DataFrame({**lists.row(7, named=True), **WRONG[why]}, schema=lists.schema)
    pl.concat([lists[:7], bad, lists[8:]]).write_parquet(tmp_path / "lists.parquet")
    with pytest.raises(GenrecError, match=rf"lists.parquet`, row 8: item `\w+` of user `\w+` at rank \w+ {why}"):
        measured(dataset, tmp_path / "lists.parquet")


def test_lists_that_are_no_ranking_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    _, lists = ranked(dataset)
    path = tmp_path / "lists.parquet"
    first = pl.col("user") == "user0"
    for changed, why in (
        (
            pl.concat([lists, lists[:1].with_columns(rank=pl.lit(99, pl.Int64))]),
            "stands in the list of its",
        ),
        (lists.with_columns(rank=pl.lit(1)), "ranks in the list of its user before"),
        (lists.filter(~first), "has no list for user `user0`"),
        (lists.filter(~first | (pl.col("rank") < 2)), "user `user0` has 1 items, fewer than k = 2"),
        (lists.drop("rank"), "has no column `rank`; it has user, item"),
        *(
            (
                lists.with_columns(rank=pl.col("rank").cast(pl.Float64) + shift),
                "row [12]: .* has no whole number from 1 on as its rank",
            )
            for shift in (-1, -100, 0.5, float("nan"), float("inf"))
        ),
    ):
        changed.write_parquet(path)
        with pytest.raises(GenrecError, match=why):
            measured(dataset, path)
    with pytest.raises(GenrecError, match="there is no file `nowhere"):
        measured(dataset, Path("nowhere.parquet"))


def test_new_histories_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    _, lists = ranked(dataset)
    lists.write_parquet(tmp_path / "lists.parquet")
    given = measured(dataset, tmp_path / "lists.parquet")
    with pytest.raises(GenrecError, match="elsewhere is a ranking from a file, and knows nothing of histories"):
        given.rank(torch.tensor([[1]]), 1, torch.ones(1, 12, dtype=torch.bool))

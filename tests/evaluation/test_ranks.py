"""The file of the ranks, and metrics out of it by hand."""

from __future__ import annotations

import os
from math import log2
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrec.errors import GenrecError
from genrec.evaluation import ranks
from genrec.runs import layout

# Anna takes two warm items and a cold one, Ben a cold one, Cleo a warm one.
FRAME = pl.DataFrame(
    {
        "user": ["anna", "anna", "anna", "ben", "cleo"],
        "item": ["a", "b", "z", "z", "a"],
        "group": [1, 2, 5, 5, 1],
        "rank_all": [3, 0, 1, 0, 5],
        "rank_warm": [2, 7, None, None, 0],
        "rank_cold": [None, None, 1, 2, None],
    },
    schema_overrides={"group": pl.UInt8},
)


def test_metrics_of_every_user() -> None:
    names = ["recall@3", "ndcg@3", "ndcg@1"]
    found = ranks.user_metrics(FRAME, "all", names)
    ideal = 1 / log2(2) + 1 / log2(3) + 1 / log2(4)
    anna = [2 / 3, (1 / log2(2) + 1 / log2(4)) / ideal, 1]
    np.testing.assert_allclose(found, [anna, [0, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(ranks.user_metrics(FRAME, "warm", ["recall@3"]), [[1 / 2], [0]])
    np.testing.assert_allclose(ranks.user_metrics(FRAME, "cold", ["ndcg@3"]), [[1], [1 / log2(3)]])
    np.testing.assert_allclose(ranks.user_metrics(FRAME, "G1", ["recall@3", "recall@5"]), [[1, 1], [0, 1]])


def test_means_are_over_the_users_of_a_setting() -> None:
    means = ranks.means(FRAME, ["recall@3"])
    assert list(means) == ["all", "warm", "cold", "G1", "G2", "G3", "G4", "G5"]
    assert means["all"] == {"recall@3": pytest.approx((2 / 3 + 0 + 0) / 3), "users": 3}
    assert means["G5"] == {"recall@3": pytest.approx((1 + 0) / 2), "users": 2}
    assert means["G3"]["users"] == 0
    assert np.isnan(means["G3"]["recall@3"])


def test_other_metrics_do_not_follow() -> None:
    for name in ("precision@5", "recall", "recall@x", "coverage@5", "diversity@5"):
        with pytest.raises(GenrecError, match=name):
            ranks.user_metrics(FRAME, "all", [name])


def test_what_is_written_is_read_and_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run" / layout.RANKS
    ranks.write(path, FRAME.lazy())
    ranks.write(path, FRAME.head(1).lazy())
    assert ranks.read(path.with_name("ranks.1.parquet")).equals(FRAME)
    assert ranks.read(path).equals(FRAME.head(1))
    assert sorted(os.listdir(path.parent)) == ["ranks.1.parquet", "ranks.parquet"], "nothing unfinished is left"


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / layout.RANKS
    with pytest.raises(GenrecError, match="genrec test"):
        ranks.read(path)
    ranks.write(path, FRAME.lazy())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(GenrecError, match="damaged"):
        ranks.read(path)
    ranks.write(path, FRAME.drop("rank_all").lazy())
    with pytest.raises(GenrecError, match="`rank_all`: it is of another version"):
        ranks.read(path)

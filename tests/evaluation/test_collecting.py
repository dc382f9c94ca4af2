"""Where targets stand in rankings, and that every metric follows from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.data import Catalog, Dataset, InMemory, Ragged, SequenceData, Synthetic
from genrec.evaluation import ranks
from genrec.evaluation.collecting import TargetRanks, ranks_frame, target_ranks
from genrec.evaluation.protocol import RankingMetrics
from genrec.recommenders.references import ItemKNN
from genrec.testing import quiet_trainer
from genrec.types import PAD, Ranking

ITEMS, WARM, K = 15, 10, 4


def test_places_are_counted_from_one_and_zero_is_not_found() -> None:
    ranked = torch.tensor([[7, 4, 9], [1, 2, 3]])
    targets = torch.tensor([[9, 5, 7], [2, PAD, PAD]])
    assert target_ranks(ranked, targets).tolist() == [[3, 0, 1], [2, 0, 0]]


class Case:
    """A data set of random lists with five cold items, and a random ranking of it."""

    def __init__(self, seed: int, users: int = 12) -> None:
        rng = np.random.default_rng(seed)
        # Items 10 to 14 are cold; every other one is there at least once.
        train = [[*rng.integers(0, WARM, rng.integers(0, 5)), *[user][: user < WARM]] for user in range(users)]
        test = [rng.integers(0, ITEMS, rng.integers(0, 6)).tolist() for _ in range(users - 1)] + [[3, 3, 12]]
        self.dataset = Dataset(
            "random",
            Catalog(pl.DataFrame({"item": [f"key{item}" for item in range(ITEMS)]})),
            [f"user{user:02}" for user in range(users)],
            Ragged.from_lists(train),
            Ragged.from_lists([[0]] * users),
            Ragged.from_lists(test),
        )
        self.metrics = RankingMetrics(self.dataset.frequency, ks=(1, K))
        self.targets = self.dataset.test.unique()
        self.users = np.flatnonzero(self.targets.lengths)
        candidates = [np.arange(ITEMS), np.arange(WARM), np.arange(WARM, ITEMS)]
        self.items = np.array([[rng.permutation(rows)[:K] for _ in self.users] for rows in candidates])

    def rank(self, collected: TargetRanks, part: slice) -> None:
        items = torch.from_numpy(self.items[:, part])
        users, targets = self.users[part], torch.from_numpy(self.targets.padded(self.users[part]))
        self.metrics.update(Ranking(items, items.float()), targets)
        collected.update(Ranking(items, items.float()), torch.from_numpy(users), targets)

    def frame(self, ranked: torch.Tensor) -> pl.DataFrame:
        return ranks_frame(ranked, self.metrics, self.dataset, self.targets)


@given(seed=st.integers(0, 10_000))
def test_every_metric_follows_from_the_ranks(seed: int) -> None:
    case = Case(seed)
    collected = TargetRanks(case.targets, 3)
    for part in (slice(0, 5), slice(5, None)):
        case.rank(collected, part)
    again = ranks.means(case.frame(collected.compute()), case.metrics.names)
    expected = case.metrics.compute()
    assert list(again) == list(expected)
    for setting, values in expected.items():
        assert again[setting] == pytest.approx(values, abs=1e-12, nan_ok=True), setting


def test_a_row_says_where_its_target_stands() -> None:
    case = Case(0)
    collected = TargetRanks(case.targets, 3)
    case.rank(collected, slice(None))
    frame = case.frame(collected.compute())
    assert frame.columns == ["user", "item", "group", "rank_all", "rank_warm", "rank_cold"]
    assert len(frame) == len(case.targets.values)
    groups = {f"key{item}": group for item, group in enumerate(_groups(case.dataset.frequency))}
    for user, item, group, *places in frame.iter_rows():
        row = case.users.tolist().index(int(user.removeprefix("user")))
        target = int(item.removeprefix("key"))
        assert group == groups[item]
        for number, (place, counts) in enumerate(zip(places, (True, target < WARM, target >= WARM), strict=True)):
            ranked = case.items[number, row].tolist()
            assert place == ((ranked.index(target) + 1 if target in ranked else 0) if counts else None)
    assert frame.filter(user="user11", item="key3").height == 1, "a target that occurs twice has one row"


def _groups(frequency: np.ndarray) -> list[int]:
    order = sorted(range(ITEMS), key=lambda item: (-frequency[item], item))
    return [order.index(item) // (ITEMS // 5) + 1 for item in range(ITEMS)]


def test_processes_add_up_however_users_are_shared_out() -> None:
    case = Case(1)
    whole, first, second = (TargetRanks(case.targets, 3) for _ in range(3))
    case.rank(whole, slice(None))
    case.rank(first, slice(0, None, 2))
    case.rank(second, slice(1, None, 2))
    assert torch.equal(first.compute() + second.compute(), whole.compute())
    idle = TargetRanks(case.targets, 3)
    assert idle.ranked.sum() == 0, "a process without users adds nothing"


def test_users_who_were_not_ranked_have_no_rows() -> None:
    case = Case(2)
    collected = TargetRanks(case.targets, 3)
    case.rank(collected, slice(0, 3))
    frame = case.frame(collected.compute())
    assert frame["user"].unique().sort().to_list() == [f"user{user:02}" for user in case.users[:3]]


def test_a_user_is_ranked_once() -> None:
    case = Case(3)
    collected = TargetRanks(case.targets, 3)
    for _ in range(2):
        case.rank(collected, slice(0, 2))
    with pytest.raises(AssertionError, match="ranked once"):
        collected.compute()


def test_a_test_leaves_its_ranks() -> None:
    data = SequenceData(InMemory(Synthetic(users=150, items=140).load(Path())), rank_batch_size=7)
    module = ItemKNN()
    trainer = quiet_trainer()
    trainer.test(module, data, verbose=False)
    names = [name for name in module.results["all"] if name != "users"]
    assert module.results["all"]["users"] == module.ranks["user"].n_unique() > 7
    for setting, values in ranks.means(module.ranks, names).items():
        assert module.results[setting] == pytest.approx(values, abs=1e-12, nan_ok=True), setting

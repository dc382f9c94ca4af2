"""Which users, targets and candidates count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrec.evaluation.protocol import RankingMetrics, popularity_groups
from genrec.types import PAD, Ranking

# Items 0..5; items 4 and 5 are cold. Groups by frequency: G1 .. G5 are {2, 0}, 3, 1, 4 and 5.
FREQUENCY = np.array([5, 1, 9, 3, 0, 0])


def ranking(*rows: list[list[int]]) -> Ranking:
    items = torch.tensor(rows)
    return Ranking(items, torch.zeros(items.shape))


def test_groups_are_equal_parts_by_falling_frequency() -> None:
    assert popularity_groups(FREQUENCY).tolist() == [0, 2, 0, 1, 3, 4]
    assert np.bincount(popularity_groups(np.arange(23))).tolist() == [5, 5, 4, 5, 4]


def test_every_setting_counts_its_own_targets_and_users() -> None:
    metrics = RankingMetrics(FREQUENCY, ks=(1, 2))
    assert metrics.allowed.tolist() == [[True] * 6, [True] * 4 + [False] * 2, [False] * 4 + [True] * 2]
    metrics.update(
        ranking([[2, 4], [1, 0]], [[2, 0], [1, 0]], [[4, 5], [4, 5]]),
        torch.tensor([[2, 4, 3], [0, PAD, PAD]]),
    )
    results = metrics.compute()
    # User 0 takes items 2, 4 and 3, user 1 takes item 0.
    assert results["all"]["recall@2"] == pytest.approx((2 / 3 + 1 / 1) / 2)
    assert results["all"]["recall@1"] == pytest.approx((1 / 3 + 0) / 2)
    assert results["warm"]["recall@2"] == pytest.approx((1 / 2 + 1) / 2)
    assert results["cold"] == {"recall@1": 1, "recall@2": 1, "ndcg@1": 1, "ndcg@2": 1, "users": 1}
    assert {name: values["users"] for name, values in results.items()} == {
        "all": 2, "warm": 2, "cold": 1, "G1": 2, "G2": 1, "G3": 0, "G4": 1, "G5": 0,
    }  # fmt: skip
    # Groups are counted in the ranking of all items.
    assert results["G1"]["recall@1"] == pytest.approx((1 + 0) / 2)
    assert results["G2"]["recall@2"] == 0
    assert results["G4"]["recall@2"] == 1


def test_batches_and_processes_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    items = torch.stack([torch.randperm(6, generator=generator)[:2] for _ in range(3 * 8)]).view(3, 8, 2)
    targets = torch.randint(-1, 6, (8, 3), generator=generator)
    whole = RankingMetrics(FREQUENCY, ks=(1, 2))
    whole.update(Ranking(items, items.float()), targets)
    parts = RankingMetrics(FREQUENCY, ks=(1, 2))
    for rows in (slice(0, 3), slice(3, 8)):
        parts.update(Ranking(items[:, rows], items[:, rows].float()), targets[rows])
    for setting, values in whole.compute().items():
        assert parts.compute()[setting] == pytest.approx(values, nan_ok=True)


def test_without_cold_items_there_is_no_cold_setting() -> None:
    metrics = RankingMetrics(np.array([1, 2, 3, 4, 5]), ks=(1,))
    assert "cold" not in metrics.settings
    assert len(metrics.allowed) == 2


def test_fewer_candidates_than_the_largest_cut_off_are_no_setting() -> None:
    groups = tuple(f"G{group}" for group in range(1, 6))
    few_cold = RankingMetrics(FREQUENCY, ks=(1, 3))
    assert few_cold.settings == ("all", "warm", *groups)
    assert few_cold.left_out == {"cold": 2}
    few_warm = RankingMetrics(np.array([0, 0, 0, 7, 7]), ks=(3,))
    assert few_warm.settings == ("all", "cold", *groups)
    assert few_warm.left_out == {"warm": 2}
    assert few_warm.allowed.tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    # Ranked among all, the items count as ever: user 0 takes warm item 3, user 1 cold item 0.
    few_warm.update(ranking([[3, 4, 0], [1, 0, 2]], [[0, 1, 2], [0, 1, 2]]), torch.tensor([[3], [0]]))
    results = few_warm.compute()
    assert results["all"]["recall@3"] == 1
    assert results["cold"] == {"recall@3": 1, "ndcg@3": 1, "users": 1}
    assert RankingMetrics(FREQUENCY, ks=(2,)).left_out == {}
    assert RankingMetrics(np.arange(1, 6), ks=(2,)).left_out == {}, "nothing can be said of items that are not there"

"""What lists are like beside right, against slow loops and arithmetic written by hand, and what holds of any lists."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from genrec.evaluation import metrics
from genrec.evaluation.beyond import Shelf, coverage, diversity, gini, popularity
from genrec.evaluation.protocol import Measure, RankingMetrics
from genrec.types import PAD, Ranking

ITEMS, WARM, K = 9, 6, 3
EVERY = Measure(tuple(metrics.METRICS))
SEEDS = st.integers(0, 10_000)


class Case:
    """Random lists, targets and texts; items 6 to 8 are cold, item 8 is without a word."""

    def __init__(self, seed: int, users: int = 7) -> None:
        rng = np.random.default_rng(seed)
        self.frequency = np.array([*rng.integers(1, 9, WARM), *[0] * (ITEMS - WARM)])
        table = rng.random((ITEMS, 4)) * (rng.random((ITEMS, 4)) < 0.7)
        table[-1] = 0
        self.texts = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
        sets = [range(ITEMS), range(WARM), range(WARM, ITEMS)]
        self.items = np.array([[rng.permutation(rows)[:K] for _ in range(users)] for rows in map(list, sets)])
        self.targets = [rng.permutation(ITEMS)[: rng.integers(0, 4)].tolist() for _ in range(users)]

    def measured(self, *parts: slice) -> dict[str, dict[str, float]]:
        """By processes that rank these users, whose sums are added up."""
        each = [RankingMetrics(self.frequency, (1, K), measure=EVERY, texts=csr_array(self.texts)) for _ in parts]
        for metric, part in zip(each, parts, strict=True):
            items = torch.from_numpy(self.items[:, part])
            wanted = [torch.tensor([*targets, *[PAD] * (4 - len(targets))]) for targets in self.targets[part]]
            metric.update(Ranking(items, items.double()), torch.stack(wanted))
        for other in each[1:]:
            for name in ("sums", "users", "counts"):
                setattr(each[0], name, getattr(each[0], name) + getattr(other, name))
        return each[0].compute()


def slow(case: Case, setting: str) -> dict[str, float]:
    """Every metric in one setting, user by user."""
    number = ["all", "warm", "cold"].index(setting)
    counts = [lambda item: True, lambda item: item < WARM, lambda item: item >= WARM][number]
    candidates = [item for item in range(ITEMS) if counts(item)]
    found: dict[str, float] = {}
    for k in (1, K):
        values: dict[str, list[float]] = {name: [] for name in ("mrr", "hitrate", "map", "popularity", "diversity")}
        shown: list[int] = []
        for user, everything in enumerate(case.targets):
            targets = [target for target in everything if counts(target)]
            if not targets:
                continue
            listed = case.items[number, user, :k].tolist()
            places = [place for place, item in enumerate(listed, 1) if item in targets]
            values["mrr"].append(1 / places[0] if places else 0)
            values["hitrate"].append(float(bool(places)))
            precisions = [len([p for p in places if p <= place]) / place for place in places]
            values["map"].append(sum(precisions) / min(k, len(targets)))
            values["popularity"].append(sum(int(case.frequency[item]) for item in listed) / k)
            pairs = [case.texts[one] @ case.texts[other] for one, other in combinations(listed, 2)]
            values["diversity"].append(1 - sum(pairs) / len(pairs) if pairs else 0)
            shown += listed
        found |= {f"{name}@{k}": float(np.mean(each)) if each else np.nan for name, each in values.items()}
        times = [shown.count(item) for item in candidates]
        between = sum(abs(one - other) for one in times for other in times)
        found[f"coverage@{k}"] = len(set(shown)) / len(candidates) if shown else np.nan
        found[f"gini@{k}"] = between / (2 * len(times) * sum(times)) if shown else np.nan
    return found


@given(seed=SEEDS)
def test_as_slow_loops_however_users_are_shared_out(seed: int) -> None:
    case = Case(seed)
    whole, parts = case.measured(slice(None)), case.measured(slice(0, 3), slice(3, None))
    for setting in ("all", "warm", "cold"):
        expected = slow(case, setting)
        assert {name: whole[setting][name] for name in expected} == pytest.approx(expected, nan_ok=True), setting
        assert parts[setting] == pytest.approx(whole[setting], nan_ok=True)


@given(seed=SEEDS)
def test_what_holds_of_any_lists(seed: int) -> None:
    for values in Case(seed).measured(slice(None)).values():
        if not values["users"]:
            continue
        for k in (1, K):
            of = {name: values[f"{name}@{k}"] for name in metrics.METRICS}
            assert 0 <= of["recall"] <= of["hitrate"] <= 1
            assert 0 <= of["mrr"] <= of["hitrate"]
            assert 0 <= of["map"] <= of["ndcg"] + 1e-12 <= 1 + 1e-9
            assert 0 < of["coverage"] <= 1
            assert 0 <= of["gini"] < 1
            assert 0 <= of["diversity"] <= 1 + 1e-9
        # A longer list holds what the shorter one does.
        for name in ("recall", "hitrate", "mrr", "coverage"):
            assert values[f"{name}@1"] <= values[f"{name}@{K}"] + 1e-12


def test_gini_of_counts_by_hand() -> None:
    everything = torch.ones(4, dtype=torch.bool)
    assert gini(torch.tensor([2, 2, 2, 2]), everything) == 0
    # Half the mean difference over the mean: |0 - 1|, |0 - 3| ... of all ordered pairs.
    assert gini(torch.tensor([3, 0, 1, 0]), everything) == pytest.approx(2 * (1 + 3 + 1 + 3 + 2 + 0) / (2 * 4 * 4))
    assert gini(torch.tensor([9, 2, 2, 7]), torch.tensor([False, True, True, False])) == 0, "others do not count"
    assert coverage(torch.tensor([9, 2, 0, 7]), torch.tensor([False, True, True, False])) == 1 / 2


def test_shorter_lists() -> None:
    texts = csr_array(np.array([[1.0, 0], [1.0, 0], [0, 1.0], [0, 0]]))
    shelf = Shelf(torch.tensor([5, 3, 1, 0]), texts)
    lists = torch.tensor([[0, 1, 2], [0, 2, PAD], [0, PAD, PAD], [PAD, PAD, PAD], [2, 3, PAD]])
    assert diversity(lists, shelf).tolist() == pytest.approx([1 - 1 / 3, 1, 0, 0, 1])
    assert popularity(lists, shelf).tolist() == pytest.approx([3, 3, 5, 0, 1 / 2])

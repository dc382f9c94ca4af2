"""Settings without the users' own items, against a slow filter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.data import InMemory, SequenceData, Synthetic
from genrec.errors import GenrecError
from genrec.evaluation import ranks
from genrec.evaluation.metrics import METRICS
from genrec.evaluation.protocol import Measure, RankingMetrics, among, without
from genrec.recommenders import ContentKNN, ItemKNN, Popularity, RankingModule
from genrec.testing import quiet_trainer
from genrec.types import PAD, Ranking

FREQUENCY = np.array([5, 1, 9, 3, 0, 0])


@given(seed=st.integers(0, 10_000), k=st.integers(1, 8))
def test_own_items_are_taken_out_and_the_others_move_up(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    ranked = np.array([[rng.permutation(8)[:6] for _ in range(4)] for _ in range(2)])
    ranked[0, 0, 4:] = PAD
    own = np.array([[*rng.permutation(8)[:3], PAD][:4] for _ in range(4)])
    found = without(torch.from_numpy(ranked), torch.from_numpy(own), k).tolist()
    for one in range(2):
        for user in range(4):
            left = [item for item in ranked[one, user].tolist() if item != PAD and item not in own[user]]
            assert [item for item in found[one][user] if item != PAD] == left[:k]
            assert len(found[one][user]) == min(k, 6)
    assert among(torch.tensor([[PAD, 3]]), torch.tensor([[PAD, 3]])).tolist() == [[False, True]]


def test_settings_by_hand() -> None:
    """Items 4 and 5 are cold. User 0 had items 2 and 4 before, user 1 item 0, which he takes again."""
    metrics = RankingMetrics(FREQUENCY, ks=(1, 2), measure=Measure(new=True))
    assert metrics.settings[:6] == ("all", "warm", "cold", "all-new", "warm-new", "cold-new")
    items = torch.tensor([[[2, 4, 3, 1], [0, 1, 2, 3]], [[2, 3, 1, 0], [0, 1, 2, 3]], [[4, 5, PAD, PAD]] * 2])
    targets, own = torch.tensor([[3, 5], [0, 1]]), torch.tensor([[2, 4], [0, PAD]])
    metrics.update(Ranking(items, items.float()), targets, own=own)
    found = metrics.compute()
    assert found["all"]["recall@2"] == pytest.approx((0 + 2 / 2) / 2)
    assert found["all-new"]["recall@1"] == pytest.approx((1 / 2 + 1 / 1) / 2), "what is taken again is no target"
    assert found["warm-new"]["recall@2"] == pytest.approx((1 + 1) / 2)
    assert found["cold"] == {
        "recall@1": 0,
        "recall@2": 1,
        "ndcg@1": 0,
        "ndcg@2": pytest.approx(0.6309, abs=1e-4),
        "users": 1,
    }
    assert found["cold-new"] == {"recall@1": 1, "recall@2": 1, "ndcg@1": 1, "ndcg@2": 1, "users": 1}


@pytest.fixture(scope="module")
def data() -> SequenceData:
    source = InMemory(Synthetic(users=150, items=140).load(Path()))
    return SequenceData(source, rank_batch_size=64, max_history=3)


@pytest.mark.parametrize("method", [ItemKNN, ContentKNN, Popularity])
def test_a_test_takes_all_that_was_taken_before_out_of_the_same_ranking(
    method: type[RankingModule], data: SequenceData
) -> None:
    usual, module = method(), method()
    usual.measure = Measure(new=True)
    quiet_trainer().validate(usual, datamodule=data, verbose=False)
    assert "all-new" not in usual.results, "what chooses is asked once"
    usual.measure = Measure()
    quiet_trainer().test(usual, datamodule=data, verbose=False)
    module.measure = Measure(tuple(METRICS), new=True)
    quiet_trainer().test(module, datamodule=data, verbose=False)
    for setting, values in usual.results.items():
        assert {name: module.results[setting][name] for name in values} == pytest.approx(values, nan_ok=True)

    dataset = data.dataset
    everything, recalls = torch.ones(1, 140, dtype=torch.bool), []
    for batch in data.test_dataloader():
        whole = module.rank(batch.history, 140, everything).items[0].tolist()
        for user, ranked in zip(batch.users.tolist(), whole, strict=True):
            own = {*dataset.train[user], *dataset.validation[user]}
            targets = {*dataset.test[user].tolist()} - own
            best = [item for item in ranked if item not in own][:10]
            if targets:
                recalls.append(len(targets.intersection(best)) / len(targets))
    assert module.results["all-new"]["recall@10"] == pytest.approx(np.mean(recalls))
    assert module.results["all-new"]["users"] == len(recalls)

    # All of it follows from what is written down, too.
    frame = module.ranks.collect()
    names = [name for name in module.results["all"] if name.startswith(("recall", "ndcg", "mrr", "map", "hitrate"))]
    for setting, values in ranks.means(frame, names).items():
        expected = {name: module.results[setting][name] for name in values}
        assert values == pytest.approx(expected, abs=1e-12, nan_ok=True), setting
    assert {"rank_all-new", "rank_warm-new"} < set(frame.columns)


def test_a_small_candidate_set_is_ranked_whole() -> None:
    """Five cold items and histories of more: of what is left of them no list is longer than it can be."""
    shop = Synthetic(users=150, items=140).load(Path())
    cold = int((~shop.warm).sum())
    module = Popularity(ks=(1, cold))
    module.measure = Measure(("ndcg", "coverage"), new=True)
    quiet_trainer().test(module, SequenceData(InMemory(shop)), verbose=False)
    assert module.results["cold"][f"coverage@{cold}"] == 1
    frame = module.ranks.collect()
    own = pl.col("rank_cold").is_not_null() & pl.col("rank_cold-new").is_null()
    assert (frame.filter(~own)["rank_cold-new"] <= frame.filter(~own)["rank_cold"]).all()


def test_what_is_measured_has_to_be_known() -> None:
    with pytest.raises(GenrecError, match="`precision` is no metric that is measured: those are recall, ndcg, mrr"):
        Measure(("ndcg", "precision"))
    for bad in (("recall",), (), ("ndcg", "ndcg")):
        with pytest.raises(GenrecError, match="name each once, and ndcg, which validation chooses by"):
            Measure(bad)

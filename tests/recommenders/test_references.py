from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from genrec.data import Dataset, InMemory, Ragged, SequenceData
from genrec.errors import GenrecError
from genrec.recommenders import RankingModule
from genrec.recommenders.references import ItemKNN, Popularity, Random, similarities
from genrec.testing import quiet_trainer
from genrec.types import PAD


def evaluate(module: RankingModule, dataset: Dataset) -> None:
    trainer = quiet_trainer()
    trainer.test(module, SequenceData(InMemory(dataset)), verbose=False)


def trained(dataset: Dataset, seed: int = 0) -> Popularity:
    module = Popularity(ks=(1, 2), seed=seed)
    evaluate(module, dataset)
    return module


def test_items_by_training_frequency_and_nothing_else(dataset: Dataset) -> None:
    ranking = trained(dataset).rank(torch.tensor([[0], [7]]), 12, torch.ones(1, 12, dtype=torch.bool))
    frequency = torch.from_numpy(dataset.frequency)[ranking.items[0]]
    assert (frequency.diff(dim=1) <= 0).all()
    assert torch.equal(ranking.items[0, 0], ranking.items[0, 1])


def test_the_seed_orders_items_of_equal_frequency(dataset: Dataset) -> None:
    everything = torch.ones(1, 12, dtype=torch.bool)
    orders = {tuple(trained(dataset, seed).rank(torch.tensor([[0]]), 12, everything).items.flatten().tolist())
              for seed in (0, 0, 1)}  # fmt: skip
    assert len(orders) == 2


def test_the_means_of_a_list_that_is_known(dataset: Dataset) -> None:
    # Items 4, 5, 10 and 11 are cold; half of the users take 5 in the test, the others 11.
    results = trained(dataset).results
    assert results["cold"]["users"] == results["all"]["users"] == 8
    assert results["warm"]["users"] == 0
    assert results["all"]["recall@2"] == 0


def test_a_batch_without_examples_counts_for_nothing(dataset: Dataset) -> None:
    module, data = trained(dataset), SequenceData(InMemory(dataset))
    quiet_trainer().predict(module, data)
    (batch,) = data.predict_dataloader()
    assert len(module.predict_step(batch, 0)["users"]) == batch.examples == 8
    nobody = batch._replace(examples=0)
    assert not any(len(rows) for rows in module.predict_step(nobody, 0).values())
    module.on_test_epoch_start()
    (batch,) = data.test_dataloader()
    module.test_step(batch, 0)
    module.test_step(batch._replace(examples=0), 1)
    assert module._metrics.compute()["all"]["users"] == 8
    assert len(module._ranks.merged(module._metrics, dataset).collect()) == 8


def test_similarities_by_hand() -> None:
    # Lists 0 1 2 and 1 0: with a window of 1, items 0 and 1 lie together twice, 1 and 2 once.
    lists = Ragged.from_lists([[0, 1, 2], [1, 0]])
    near = similarities(lists, 4, window=1).toarray()
    assert near[0, 1] == near[1, 0] == pytest.approx(2 / 2)
    assert near[1, 2] == near[2, 1] == pytest.approx(1 / 2**0.5)
    assert near[0, 2] == 0
    wide = similarities(lists, 4, window=5).toarray()
    assert wide[0, 2] == pytest.approx(1 / 2**0.5)
    assert (wide.diagonal() == 0).all()
    assert (wide[3] == 0).all()


def test_recent_items_count_more(dataset: Dataset) -> None:
    knn = ItemKNN(window=1, last=2, decay=0.5, ks=(1, 2))
    evaluate(knn, dataset)
    everything = torch.ones(1, 12, dtype=torch.bool)
    # Item 2 lies beside 1 and 3, item 9 beside 8 (and 10 in the validation, which does not count).
    ranking = knn.rank(torch.tensor([[0, 9, 2], [PAD, PAD, PAD]]), 12, everything)
    assert set(ranking.items[0, 0, :2].tolist()) == {1, 3}
    assert ranking.items[0, 0, 2] == 8
    assert ranking.scores[0, 0, :3].tolist() == pytest.approx([1, 1, 0.5], abs=1e-5)
    assert ranking.scores[0, 0, 3] < 1e-5, "item 0 is too long ago, and nothing else is similar"
    assert sorted(ranking.items[0, 1].tolist()) == list(range(12)), "no history, no score: a random order"


def test_bad_settings_of_the_nearest_neighbours() -> None:
    for bad in ({"window": 0}, {"last": 0}, {"decay": 0.0}, {"decay": 1.5}):
        with pytest.raises(GenrecError, match="ItemKNN needs"):
            ItemKNN(**bad)


def test_random_is_one_order_for_all_and_another_for_another_seed(dataset: Dataset) -> None:
    orders = set()
    for seed in (0, 0, 1):
        module = Random(ks=(1, 2), seed=seed)
        evaluate(module, dataset)
        ranking = module.rank(torch.tensor([[0], [7]]), 12, torch.ones(1, 12, dtype=torch.bool))
        assert torch.equal(ranking.items[0, 0], ranking.items[0, 1])
        orders.add(tuple(ranking.items[0, 0].tolist()))
    assert len(orders) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "name", "recall", "ndcg"),
    [
        (Popularity, "toys", 0.0078, 0.0041),
        (Popularity, "beauty", 0.0076, 0.0048),
        (Popularity, "sports", 0.0098, 0.0080),
        (ItemKNN, "toys", 0.0109, 0.0074),
        (ItemKNN, "beauty", 0.0101, 0.0066),
        (ItemKNN, "sports", 0.0070, 0.0041),
    ],
)
def test_the_known_level_on_the_released_splits(
    released: Callable[[str], Dataset], method: type[RankingModule], name: str, recall: float, ndcg: float
) -> None:
    module = method()
    evaluate(module, released(name))
    found = module.results["all"]
    if method is Popularity:
        assert (round(found["recall@10"], 4), round(found["ndcg@10"], 4)) == (recall, ndcg)
    assert found["recall@10"] > recall - 5e-5
    assert found["ndcg@10"] > ndcg - 5e-5

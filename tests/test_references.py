from __future__ import annotations

import lightning as L
import torch

from genrec.data import Dataset, SequenceData
from genrec.data.dataset import InMemory
from genrec.references import Popularity


def trained(dataset: Dataset, seed: int = 0) -> Popularity:
    module = Popularity(ks=(1, 2), seed=seed)
    L.Trainer(logger=False, enable_progress_bar=False, enable_model_summary=False).test(
        module, SequenceData(InMemory(dataset)), verbose=False
    )
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

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genrec.data import Dataset, Synthetic
from genrec.data.sources.synthetic import make_shop
from genrec.errors import GenrecError


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Synthetic().load(Path())


def ndcg(ranked: list[int], targets: set[int]) -> float:
    gains = [1 / np.log2(rank + 2) for rank in range(10)]
    return sum(gain for gain, item in zip(gains, ranked, strict=False) if item in targets) / sum(gains[: len(targets)])


def oracle(dataset: Dataset, last: int) -> list[int]:
    """What the habit says, step after step, for a user who took `last`."""
    shop = make_shop(1000)
    rows = {key: row for row, key in enumerate(dataset.catalog.keys)}
    item, ranked = int(dataset.catalog.keys[last].removeprefix("item-")), []
    for _ in range(12):
        item = shop.successor[item]
        if f"item-{item}" in rows:  # an item that nobody took is not in the catalogue
            ranked.append(rows[f"item-{item}"])
    return ranked


def test_the_habit_can_be_known_and_popularity_does_not_know_it(dataset: Dataset) -> None:
    known = dataset.train.join(dataset.validation)
    popular = np.argsort(-dataset.frequency).tolist()
    users = np.flatnonzero(dataset.test.lengths)[:150]
    targets = {user: set(dataset.test[user].tolist()) for user in users}
    assert np.mean([ndcg(oracle(dataset, known[user][-1]), targets[user]) for user in users]) > 0.3
    assert np.mean([ndcg(popular, targets[user]) for user in users]) < 0.06


def test_cold_items_are_sold_late_and_wanted(dataset: Dataset) -> None:
    cold = ~dataset.warm
    assert cold.sum() >= 100  # so that five times chance, 5 * 10 / cold, is far below 1
    assert 0.08 < cold.mean() < 0.16
    assert sum(cold[dataset.test[user]].any() for user in range(len(dataset.users))) >= 50
    # Mostly the last of their series: their titles follow the same rule as those of warm items.
    numbers = np.array([int(title.split()[-1]) for title in dataset.catalog.titles])
    assert numbers[cold].mean() > numbers[dataset.warm].mean() + 2


def test_the_same_seed_is_the_same_data(dataset: Dataset) -> None:
    again = Synthetic().load(Path())
    assert again.catalog.items.equals(dataset.catalog.items)
    assert again.train.values.tolist() == dataset.train.values.tolist()
    assert Synthetic(seed=1).load(Path()).train.values.tolist() != dataset.train.values.tolist()


def test_nobody_takes_an_item_twice(dataset: Dataset) -> None:
    whole = dataset.train.join(dataset.validation).join(dataset.test)
    assert len(whole.unique().values) == len(whole.values)


def test_the_shop_by_hand() -> None:
    shop = make_shop(1000)
    assert shop.items["title"][:2].to_list() == [f"Northpeak Aurora Trail Running Shoe {number}" for number in (1, 2)]
    assert shop.items["categories"][0].to_list() == ["Outdoor", "Trail Shoes"]
    assert shop.successor[:7].tolist() == [1, 2, 3, 4, 5, 6, 7]  # after the seventh shoe the first tent
    assert shop.successor[4 * 7 - 1] == 0  # after the last bottle the first shoe: the departments are circles
    assert shop.items["title"].n_unique() == 1000


@pytest.mark.parametrize(("users", "items"), [(10, 10), (60, 40), (300, 2500)])
def test_other_sizes(users: int, items: int) -> None:
    dataset = Synthetic(users, items, cold=0.1).load(Path())
    assert len(dataset.users) <= users
    assert len(dataset.catalog) <= items


def test_sizes_that_make_no_sense() -> None:
    with pytest.raises(GenrecError, match="share of cold items"):
        Synthetic(cold=1.0)

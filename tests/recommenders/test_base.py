"""What a recommender of any class is asked for: its items and parts, in use and in a saved folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

from genrec.data import Dataset, InMemory, SequenceData
from genrec.decoding import top_k
from genrec.errors import GenrecError
from genrec.recommenders import RankingModule
from genrec.recommenders.alone import set_up
from genrec.serving.served import Served, from_pretrained
from genrec.types import Ranking


class Newest(RankingModule):
    """The items that came last, whoever asks; no language model, and no `Recommender`."""

    learns = False
    extends = True

    def rank(self, history: Tensor, k: int, allowed: Tensor) -> Ranking:
        return top_k(torch.arange(len(self.catalog)).float().expand(len(history), -1), allowed, k)


def served(dataset: Dataset) -> Served:
    model, data = Newest(), SequenceData(InMemory(dataset))
    set_up(model, data)
    config: dict[str, Any] = {"model": {"class_path": f"{Newest.__module__}.Newest"}, "data": {}, "assets": {}}
    return Served(model, data, config)


def test_a_module_of_another_class_takes_new_items_and_is_saved_with_them(dataset: Dataset, tmp_path: Path) -> None:
    shop = served(dataset)
    assert shop.recommend([[]], k=2)["item"].to_list() == dataset.catalog.keys[:-3:-1]
    shop.add_items(pl.DataFrame({"item": ["new"]}))
    assert shop.recommend([["new"]], k=2, repeats=True)["item"].to_list() == ["new", dataset.catalog.keys[-1]]
    shop.save_pretrained(tmp_path / "shop")
    again = from_pretrained(tmp_path / "shop")
    assert isinstance(again.model, Newest)
    assert again.recommend([[]], k=1)["item"].to_list() == ["new"]


def test_items_that_were_added_stay_when_it_is_set_up_again(dataset: Dataset) -> None:
    shop = served(dataset)
    shop.add_items(pl.DataFrame({"item": ["new"]}))
    set_up(shop.model, shop.data)
    assert shop.catalog.keys[-1] == "new"


def test_without_a_language_model_nothing_is_read(dataset: Dataset) -> None:
    with pytest.raises(GenrecError, match="Newest has no language model that could read a prompt"):
        served(dataset).model.read(torch.zeros(1, 1, dtype=torch.long))

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from genrec.assets import Assets, ReleasedCF, TfidfText
from genrec.data import Catalog, Dataset, Ragged
from genrec.errors import GenrecError


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    return Assets(TfidfText(dim=6), ReleasedCF(), root=str(tmp_path / "assets"))


def extended(dataset: Dataset, *titles: str) -> Catalog:
    keys = [f"new{row}" for row in range(len(titles))]
    return dataset.catalog.extend(pl.DataFrame({"item": keys, "title": list(titles)}))


def test_tables_have_one_row_per_item(assets: Assets, dataset: Dataset) -> None:
    bound = assets.bind(dataset)
    assert bound.text.shape == (12, 6)
    assert bound.cf.shape == (12, 6)
    assert bound.text.dtype == bound.cf.dtype == torch.float32
    np.testing.assert_array_equal(bound.text, bound.built(TfidfText(dim=6))["embeddings"])
    np.testing.assert_array_equal(bound.cf, dataset.cf)


def test_nothing_is_built_before_it_is_asked_for(assets: Assets, dataset: Dataset, tmp_path: Path) -> None:
    bound = assets.bind(dataset).extend(extended(dataset, "a green train"))
    assert not (tmp_path / "assets").exists()
    assert len(bound.cf) == 13
    assert [path.name.split("-")[0] for path in (tmp_path / "assets").glob("[!.]*")] == ["cf"]


def test_what_is_not_configured_is_asked_for_by_name(dataset: Dataset, tmp_path: Path) -> None:
    bound = Assets(root=str(tmp_path)).bind(dataset)
    with pytest.raises(GenrecError, match=r"text embeddings of `twelve`.*assets\.text"):
        _ = bound.text
    with pytest.raises(GenrecError, match=r"collaborative embeddings of `twelve`.*assets\.cf"):
        _ = bound.cf


def without_text(dataset: Dataset) -> Dataset:
    catalog = Catalog(dataset.catalog.items.select("item"))
    return Dataset("mute", catalog, dataset.users, dataset.train, dataset.validation, dataset.test, dataset.cf)


def test_data_without_text_has_no_text_embeddings(assets: Assets, dataset: Dataset) -> None:
    with pytest.raises(GenrecError, match="none of the 12 items has any text"):
        _ = assets.bind(without_text(dataset)).text


def test_new_items_stand_behind_the_old_ones(assets: Assets, dataset: Dataset) -> None:
    old = assets.bind(dataset)
    new = old.extend(extended(dataset, "red train number 0", "blue boat"))
    assert len(new.text) == len(new.cf) == 14
    assert torch.equal(new.text[:12], old.text)
    assert torch.equal(new.cf[:12], old.cf)
    assert (new.text[:12] @ new.text[12]).argmax() == 0
    assert (new.text[:12] @ new.text[13]).argmax() in range(6, 12)


def test_a_new_item_is_known_as_little_as_the_cold_ones(assets: Assets, dataset: Dataset) -> None:
    assert dataset.cf is not None
    cold = [4, 5, 10, 11]
    np.testing.assert_array_equal(np.flatnonzero(~dataset.warm), cold)
    cf = assets.bind(dataset).extend(extended(dataset, "one", "two")).cf
    expected = dataset.cf[cold].sum(0) / 4
    np.testing.assert_allclose(cf[12:], np.stack([expected, expected]), atol=1e-6)


def test_without_cold_items_a_new_item_has_the_mean_of_all(assets: Assets, dataset: Dataset) -> None:
    assert dataset.cf is not None
    everything = Ragged.from_lists([list(range(12))] * 8)
    warm = Dataset("warm", dataset.catalog, dataset.users, everything, dataset.validation, dataset.test, dataset.cf)
    cf = assets.bind(warm).extend(extended(warm, "one")).cf
    np.testing.assert_allclose(cf[12], dataset.cf.sum(0) / 12, atol=1e-6)


def test_a_catalogue_without_text_can_grow_as_well(assets: Assets, dataset: Dataset) -> None:
    mute = without_text(dataset)
    catalog = mute.catalog.extend(pl.DataFrame({"item": ["new0"]}))
    assert len(assets.bind(mute).extend(catalog).cf) == 13


def test_growing_twice_is_growing_once(assets: Assets, dataset: Dataset) -> None:
    both = extended(dataset, "a green train", "a green boat")
    twice = assets.bind(dataset).extend(extended(dataset, "a green train")).extend(both)
    once = assets.bind(dataset).extend(both)
    assert torch.equal(twice.text, once.text)
    assert torch.equal(twice.cf, once.cf)


def test_any_text_is_encoded_as_the_items_are(assets: Assets, dataset: Dataset, tmp_path: Path) -> None:
    bound, texts = assets.bind(dataset), dataset.catalog.texts()
    torch.testing.assert_close(bound.encode(texts[3:5]), bound.text[3:5], atol=1e-5, rtol=0)
    trains = bound.encode(["a train", "unheard of"])
    assert trains.dtype == torch.float32
    assert (bound.text @ trains[0]).argmax() in range(6)


def test_texts_are_kept_on_request(assets: Assets, dataset: Dataset, tmp_path: Path) -> None:
    bound = assets.bind(dataset)
    first = bound.encode(["a train", "a boat"])
    folders = {path.name for path in (tmp_path / "assets").glob("[!.]*")}
    assert torch.equal(bound.encode(["a train", "a boat"], keep=True), first)
    (kept,) = {path.name for path in (tmp_path / "assets").glob("[!.]*")} - folders
    assert kept.startswith("text-tfidf-6-others-")
    assert torch.equal(assets.bind(dataset).encode(["a train", "a boat"], keep=True), first)
    assert not torch.equal(bound.encode(["a boat", "a train"], keep=True), first)

"""A language model's own states as text embeddings."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from genrec.assets import Assets, AssetStore, shards
from genrec.backbones import StatesText
from genrec.backbones.states import _load
from genrec.data import Catalog, Dataset, Ragged
from genrec.errors import GenrecError

from ..models import qwen

ITEMS = [
    {"item": "a", "title": "Red train", "description": "Runs on rails, far and fast", "brand": "Rail & Co"},
    {"item": "b", "title": "Blue boat", "categories": ["Toys", "Boats"]},
    {"item": "c"},
    {"item": "d", "title": "Tall tower", "description": "Stands on a hill " * 9},
    {"item": "e", "brand": "Nobody"},
]


def data_of(items: list[dict[str, object]]) -> Dataset:
    lists = Ragged.from_lists([list(range(min(3, len(items))))])
    return Dataset("five", Catalog(pl.DataFrame(items, strict=False)), ["user"], lists, lists, lists)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "qwen"
    torch.manual_seed(0)
    qwen(path, [" ".join(str(value) for value in item.values()) for item in ITEMS], tied=True)
    return path


@pytest.fixture
def states(folder: Path) -> StatesText:
    return StatesText(str(folder), max_tokens=12, batch_size=3)


@torch.no_grad()
def slowly(folder: Path, items: list[list[str]], most: int) -> np.ndarray:
    """One field after the other, by the model as its library runs it."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    blank = tokenizer("\n")["input_ids"][-1:]
    rows = []
    for fields in items:
        read = [tokenizer(field)["input_ids"][:most] or blank for field in fields or [""]]
        means = [model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0) for ids in read]
        rows.append(torch.stack(means).mean(0))
    return torch.stack(rows).numpy()


FIELDS = [
    ["Red train", "Runs on rails, far and fast", "Rail & Co"],
    ["Blue boat", "Toys, Boats"],
    [],
    ["Tall tower", ("Stands on a hill " * 9).strip()],
    ["Nobody"],
]


def test_an_item_is_the_mean_of_its_fields_and_a_field_of_its_words(
    states: StatesText, folder: Path, tmp_path: Path
) -> None:
    dataset = data_of(ITEMS)
    table = states.build(dataset, tmp_path)["embeddings"]
    assert table.dtype == np.float32
    np.testing.assert_allclose(table, slowly(folder, FIELDS, 12), atol=1e-5)
    # Who is read together changes nothing, what is read of a long field does.
    np.testing.assert_allclose(replace(states, batch_size=1).build(dataset, tmp_path)["embeddings"], table, atol=1e-5)
    longer = replace(states, max_tokens=100).build(dataset, tmp_path)["embeddings"]
    assert [bool(abs(row).max() > 1e-3) for row in longer - table] == [True, False, False, True, False]


def test_texts_and_items_that_are_added_are_in_the_same_space(states: StatesText, folder: Path, tmp_path: Path) -> None:
    dataset = data_of(ITEMS[:3])
    catalog = dataset.catalog.extend(pl.DataFrame(ITEMS[3:], strict=False))
    built = states.build(dataset, tmp_path)
    np.testing.assert_allclose(states.added(catalog, dataset, built), slowly(folder, FIELDS[3:], 12), atol=1e-5)
    found = states.encode(["Blue boat", "", "Red train"], built)
    np.testing.assert_allclose(found, slowly(folder, [["Blue boat"], [""], ["Red train"]], 12), atol=1e-5)


def test_it_is_made_in_shards_and_the_model_is_let_go(
    states: StatesText, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 2)
    dataset = data_of(ITEMS)
    assets = Assets(text=states, root=str(tmp_path)).bind(dataset)
    np.testing.assert_allclose(assets.text.numpy(), slowly(folder, FIELDS, 12), atol=1e-5)
    assert _load.cache_info().currsize == 0
    (made,) = tmp_path.glob("text-states-qwen-*")
    assert AssetStore(tmp_path).folder(states, dataset) == made


def test_what_decides_the_result_is_in_its_fingerprint(states: StatesText, folder: Path, tmp_path: Path) -> None:
    dataset, copy = data_of(ITEMS), tmp_path / "copy"
    shutil.copytree(folder, copy)
    before = states.fingerprint(dataset)
    assert replace(states, pretrained=str(copy), batch_size=7).fingerprint(dataset) == before
    assert replace(states, max_tokens=13).fingerprint(dataset) != before
    assert replace(states, dtype="bfloat16").fingerprint(dataset) != before
    weights = next(copy.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\7")
    assert replace(states, pretrained=str(copy)).fingerprint(dataset) != before
    # The same words, in other fields.
    one, two = (data_of([item]) for item in ({"item": "a", "title": "b. c"}, {"item": "a", "title": "b", "brand": "c"}))
    assert one.catalog.text_hash == two.catalog.text_hash
    assert states.fingerprint(one) != states.fingerprint(two)


def test_weights_may_be_short_and_embeddings_are_not(states: StatesText, folder: Path, tmp_path: Path) -> None:
    table = replace(states, dtype="bfloat16").build(data_of(ITEMS), tmp_path)["embeddings"]
    assert table.dtype == np.float32
    np.testing.assert_allclose(table, slowly(folder, FIELDS, 12), atol=0.1)


def test_a_model_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "no" / "such")
    with pytest.raises(GenrecError, match=r"cannot load the model `.*such`: .* give a local folder"):
        StatesText(missing).build(data_of(ITEMS), tmp_path)
    with pytest.raises(GenrecError, match="`max_tokens` of StatesText is 0: give 1 or more"):
        StatesText(missing, max_tokens=0)

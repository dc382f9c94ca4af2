"""Any number of named embeddings, and whatever is made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from lightning.pytorch.cli import LightningArgumentParser

from genrec.assets import Assets, EmbeddingAsset, FromEmbeddings, ItemCodes, ReleasedCF, TfidfText
from genrec.assets.store import DIAGNOSTICS
from genrec.data import Catalog, Dataset
from genrec.errors import GenrecError
from genrec.runs.trusted import checked


@dataclass(frozen=True)
class Pictures(EmbeddingAsset):
    """Made-up numbers of made-up pictures, of the items that there are."""

    shape: tuple[int, ...] = (12, 4)

    @property
    def name(self) -> str:
        return "pictures"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        return {"shape": list(self.shape)}

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        return {"embeddings": np.random.default_rng(0).standard_normal(self.shape)}


class Zeros(Pictures):
    """Those that know a row for new items, too."""

    def added(self, catalog: Catalog, dataset: Dataset, built: dict[str, np.ndarray]) -> np.ndarray:
        return np.zeros((len(catalog) - len(dataset.catalog), 4))


class Empty(Pictures):
    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        return {"pictures": np.zeros(self.shape)}


@dataclass(frozen=True)
class Neighbours(FromEmbeddings):
    """The k nearest items of every item, by all embeddings side by side."""

    sources: ClassVar[Sequence[str]] = ("text", "image")
    k: int = 2

    @property
    def name(self) -> str:
        return "neighbours"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        return {"k": self.k}

    def build(self, dataset: Dataset, folder: Path, embeddings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        table = np.concatenate([embeddings[name] for name in self.sources], 1)
        distances = np.square(table[:, None] - table).sum(2)
        np.fill_diagonal(distances, np.inf)
        (folder / DIAGNOSTICS).write_text(json.dumps({"mean": float(distances.min(1).mean())}))
        return {"nearest": distances.argsort(1)[:, : self.k], "nothing": np.zeros(0)}


@dataclass(frozen=True)
class Signs(ItemCodes):
    """Codes of a source of any name: on which side of zero its first numbers lie."""

    sources: ClassVar[Sequence[str]] = ("image", "cf")
    length: int = 2
    size: int = 2

    @property
    def name(self) -> str:
        return "codes-signs"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        return {"length": self.length}

    def build(self, dataset: Dataset, folder: Path, embeddings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"codes": self.encode(embeddings, {})}

    def encode(self, embeddings: Mapping[str, np.ndarray], built: Mapping[str, np.ndarray]) -> np.ndarray:
        assert embeddings.keys() == {"image", "cf"}, "all that it was built from"
        return (sum(table[:, : self.length] for table in embeddings.values()) > 0).astype(np.int64)


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    return Assets(TfidfText(dim=6), ReleasedCF(), str(tmp_path / "assets"), 0, {"image": Zeros()})


def grown(dataset: Dataset) -> Catalog:
    return dataset.catalog.extend(pl.DataFrame({"item": ["new"], "title": ["red train number 0"]}))


def test_a_named_source_is_a_table_like_the_others(assets: Assets, dataset: Dataset) -> None:
    bound = assets.bind(dataset)
    image = bound.source("image")
    assert image.shape == (12, 4)
    assert image.dtype == torch.float32
    assert torch.equal(bound.source("text"), bound.text)
    assert torch.equal(bound.source("cf"), bound.cf)
    assert bound.source("image") is image


def test_new_items_have_the_rows_that_the_recipe_has_for_them(dataset: Dataset, tmp_path: Path) -> None:
    encoder = TfidfText(dim=5)
    sources = {"image": Zeros(), "words": encoder, "mute": Pictures()}
    old = Assets(encoder, ReleasedCF(), str(tmp_path), 0, sources).bind(dataset)
    new = old.extend(grown(dataset))
    assert new.source("image")[12].tolist() == [0] * 4
    assert torch.equal(new.source("words"), new.text), "a text encoder reads the new titles, whatever it is called"
    assert torch.equal(new.source("words")[:12], old.source("words"))
    assert len(old.source("mute")) == 12
    with pytest.raises(GenrecError, match=r"`pictures` knows nothing of items that are added later, such as `new`"):
        new.source("mute")


def test_what_is_not_there_is_asked_for_with_what_is(assets: Assets, dataset: Dataset, tmp_path: Path) -> None:
    expected = r"embeddings `sound` of `twelve`; configured are text, cf, image: give `assets\.sources\.sound`"
    with pytest.raises(GenrecError, match=expected):
        assets.bind(dataset).source("sound")
    with pytest.raises(GenrecError, match="configured are none"):
        Assets(root=str(tmp_path)).bind(dataset).source("sound")
    with pytest.raises(GenrecError, match=r"embeddings `image` .* configured are text"):
        Assets(TfidfText(dim=4), root=str(tmp_path)).bind(dataset).built(Neighbours())


@pytest.mark.parametrize(
    ("recipe", "found"),
    [
        (Pictures((11, 4)), "a table [11, 4] for 12 items"),
        (Pictures((12,)), "a table [12] for 12 items"),
        (Empty(), "no table for 12 items"),
    ],
)
def test_a_table_has_a_row_per_item(recipe: Pictures, found: str, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match=rf"`pictures` \({type(recipe).__name__}\) made {re.escape(found)}"):
        Assets(root=str(tmp_path), sources={"image": recipe}).bind(dataset).source("image")


@pytest.mark.parametrize("name", ["text", "cf", "two words", "a.b"])
def test_a_source_has_a_name_of_its_own(name: str) -> None:
    with pytest.raises(GenrecError, match=rf"`assets\.sources` has `{name}`"):
        Assets(sources={name: Pictures()})


def test_anything_made_of_embeddings_is_an_asset(assets: Assets, dataset: Dataset) -> None:
    bound = assets.bind(dataset)
    arrays = bound.built(Neighbours(k=3))
    assert arrays.keys() == {"nearest", "nothing"}
    table = torch.cat([bound.text, bound.source("image")], 1)
    distances = torch.cdist(table, table).fill_diagonal_(torch.inf)
    assert arrays["nearest"].tolist() == distances.argsort(1)[:, :3].tolist()
    # Known without a training, and told apart from another of its name.
    bound.built(Neighbours(k=1))
    assert len(bound.diagnostics()) == 2
    assert all(key.startswith("neighbours-") and numbers["mean"] > 0 for key, numbers in bound.diagnostics().items())
    folders = list(assets.store.root.glob("neighbours-*"))
    other = Assets(assets.text, assets.cf, str(assets.store.root), 0, {"image": Pictures((12, 3))})
    other.bind(dataset).built(Neighbours(k=1))
    assert len(list(assets.store.root.glob("neighbours-*"))) == len(folders) + 1, "of other embeddings"


def test_codes_are_made_of_any_source(assets: Assets, dataset: Dataset) -> None:
    bound = assets.bind(dataset)
    codes = bound.codes(Signs())
    assert codes.tolist() == ((bound.source("image") + bound.cf[:, :4])[:, :2] > 0).long().tolist()
    more = bound.extend(grown(dataset))
    assert torch.equal(more.codes(Signs())[:12], codes)
    assert more.codes(Signs())[12].tolist() == (more.cf[12, :2] > 0).long().tolist()
    # A saved recommender can name new items only with what all embeddings are made of.
    assert {recipe.name for recipe in assets.store.asked.values()} >= {"pictures", "cf-released"}
    assert bound.built(Signs())["codes"].tolist() == codes.tolist()


def parse(*arguments: str) -> Assets:
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Assets, "assets")
    return parser.instantiate_classes(parser.parse_args(arguments)).assets


def test_a_config_names_sources_beside_text_and_cf() -> None:
    image = {"class_path": f"{__name__}.Pictures", "init_args": {"shape": [12, 7]}}
    parsed = parse("--assets.text", "TfidfText", "--assets.text.dim", "5", "--assets.sources", json.dumps({"a": image}))
    assert (parsed.text, parsed.cf, parsed.sources) == (TfidfText(5), None, {"a": Pictures((12, 7))})
    parsed = parse("--assets.sources.a", "TfidfText", "--assets.sources.a.dim", "4", "--assets.sources.b", "ReleasedCF")
    assert parsed.sources == {"a": TfidfText(4), "b": ReleasedCF()}


def test_a_config_of_somebody_else_names_known_sources_alone() -> None:
    config: dict[str, Any] = {"sources": {"a": {"class_path": "TfidfText", "init_args": {"dim": 4}}}}
    assert checked({"assets": config}, Path("theirs")) == {"assets": config}
    config["sources"]["a"]["class_path"] = "os.system"
    with pytest.raises(GenrecError, match=r"theirs: `assets\.sources\.a` names `os\.system`"):
        checked({"assets": config}, Path("theirs"))

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.assets import AssetStore, CatalogTags, ItemTags, KeywordTags
from genrec.assets.tags.words import words
from genrec.data import Catalog, Dataset, Ragged
from genrec.errors import GenrecError


def shelf(titles: list[str | None], tags: list[str | None] | None = None, warm: list[int] | None = None) -> Dataset:
    """Items with these titles, of which the first, or those given, are in the training split."""
    items = pl.DataFrame(
        {
            "item": [f"key{row}" for row in range(len(titles))],
            "title": titles,
            "tags": tags or [None] * len(titles),
        },
        schema_overrides={"title": pl.String, "tags": pl.String},
    )
    once = Ragged.from_lists([[0]])
    train = Ragged.from_lists([list(range(len(titles))) if warm is None else warm])
    return Dataset("shelf", Catalog(items), ["user"], train, once, once)


def tags(recipe: ItemTags, dataset: Dataset) -> list[str]:
    return recipe.build(dataset, Path())["tags"].tolist()


def test_words_of_a_text() -> None:
    assert words("  Rory's Story-Cubes, (9) ") == "Rory s Story Cubes 9"
    assert words("ﬁlm ① Pokémon") == words("film 1 Poke\u0301mon") == "film 1 Pokémon"
    assert words("-- !") == ""


def test_keywords_are_the_rarest_words_in_their_own_order() -> None:
    titles: list[str | None] = ["the red train of Acme", "the blue train of Acme", "the red boat of Acme"]
    # "the", "of", "acme" are in three titles, "red" and "train" in two, "blue" and "boat" in one.
    assert tags(KeywordTags(length=2), shelf(titles)) == ["red train", "blue train", "red boat"]
    assert tags(KeywordTags(length=1), shelf(titles)) == ["red", "blue", "boat"]
    assert tags(KeywordTags(length=9), shelf(titles)) == [title.lower() for title in titles if title]


def test_a_word_that_comes_twice_counts_twice_and_stands_once() -> None:
    assert tags(KeywordTags(length=1), shelf(["red boat boat", "red boat", "x"])) == ["boat", "red", "x"]


def test_more_words_then_numbers_tell_equal_items_apart() -> None:
    titles: list[str | None] = ["red train", "red train", "blue train", "red train"]
    assert tags(KeywordTags(length=1), shelf(titles)) == ["red", "red train", "blue", "red 2"]


def test_brand_and_categories_are_words_too_and_an_item_without_any_is_an_item() -> None:
    dataset = shelf(["train", None, None])
    items = dataset.catalog.items.with_columns(
        brand=pl.Series(["Acme", None, None]), categories=pl.Series([["Toys", "Red"], None, None])
    )
    dataset = replace(dataset, catalog=Catalog(items))
    assert tags(KeywordTags(), dataset) == ["train acme toys red", "item", "item 2"]


def test_items_of_the_training_split_choose_first() -> None:
    assert tags(KeywordTags(), shelf(["red train"] * 4, warm=[2, 3])) == [
        f"red train{end}" for end in (" 3", " 4", "", " 2")
    ]
    given = ["red train"] * 4
    assert tags(CatalogTags(), shelf([None] * 4, [*given], warm=[3])) == [
        f"red train{end}" for end in (" 2", " 3", " 4", "")
    ]


def test_given_tags_are_kept_and_made_unique() -> None:
    dataset = shelf(["a"] * 4, ["Red, train", "red train", "Red train!", "Red train 2"])
    assert tags(CatalogTags(), dataset) == ["Red train", "red train", "Red train 2", "Red train 2 2"]


def test_items_without_tags_are_named_otherwise() -> None:
    dataset = shelf(["one boat", "two boats", "three boats"], ["boat", None, "?"])
    with pytest.raises(GenrecError, match=r"1 items, such as `key1`, have no tags.*`otherwise`"):
        tags(CatalogTags(), dataset)
    assert tags(CatalogTags(otherwise=KeywordTags()), dataset) == ["boat", "two boats", "item"]


def test_without_any_word_there_are_no_keywords() -> None:
    with pytest.raises(GenrecError, match="none of the 3 items has a word"):
        tags(KeywordTags(), shelf([None, "--", None]))


@settings(max_examples=50)
@given(
    st.lists(st.text(st.sampled_from("ab -2é"), max_size=6), min_size=2, max_size=30).filter(
        lambda titles: any(words(title) for title in titles)
    ),
    st.data(),
)
def test_names_are_distinct_words_and_stay_when_items_are_added(titles: list[str], data: st.DataObject) -> None:
    known = data.draw(st.integers(1, len(titles)))
    if not any(map(words, titles[:known])):
        known = len(titles)
    dataset = shelf([*titles[:known]], warm=data.draw(st.lists(st.integers(0, known - 1), min_size=1)))
    recipe = data.draw(st.sampled_from([KeywordTags(length=1), CatalogTags(otherwise=KeywordTags(length=2))]))
    built = recipe.build(dataset, Path())
    added = [{"item": f"new{row}", "title": title} for row, title in enumerate(titles[known:])]
    catalogs = [dataset.catalog]
    for item in added:
        catalogs.append(catalogs[-1].extend(pl.DataFrame([item], schema_overrides={"title": pl.String})))
    later = [recipe.encode(catalog, built) for catalog in catalogs]
    assert all(longer[:-1] == shorter for shorter, longer in pairwise(later))
    names = [*built["tags"].tolist(), *later[-1]]
    assert len(names) == len(set(names)) == len(titles)
    assert all(re.fullmatch(r"\w+( \w+)*", name) for name in names)
    assert recipe.build(dataset, Path())["tags"].tolist() == built["tags"].tolist()


def test_two_hundred_equal_items() -> None:
    names = tags(KeywordTags(length=1), shelf(["red train"] * 200))
    assert names[:3] == ["red", "red train", "red 2"]
    assert len(set(names)) == 200


@pytest.mark.parametrize("recipe", [KeywordTags(), CatalogTags(), CatalogTags(otherwise=KeywordTags())])
def test_tags_are_those_of_the_training_split_and_the_catalogue(recipe: ItemTags, tmp_path: Path) -> None:
    store = AssetStore(tmp_path)
    dataset = shelf(["red train", "red train", "boat"], ["a", "b", "c"], warm=[1])
    first = store.get(recipe, dataset)["tags"].tolist()
    other = replace(dataset, test=Ragged.from_lists([[2, 1]]), validation=Ragged.from_lists([[2]]))
    assert recipe.fingerprint(other) == recipe.fingerprint(dataset)
    assert store.get(recipe, other)["tags"].tolist() == first
    warmer = replace(dataset, train=Ragged.from_lists([[0, 1]]))
    assert recipe.fingerprint(warmer) != recipe.fingerprint(dataset)
    named = replace(dataset, catalog=shelf(["red train", "blue train", "boat"], ["a", "x", "c"]).catalog)
    assert recipe.fingerprint(named) != recipe.fingerprint(dataset)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toys", "beauty", "sports"])
def test_real_tags(released: Callable[[str], Dataset], name: str) -> None:
    dataset = released(name)
    given = dataset.catalog.items["tags"].to_list()
    for recipe in (CatalogTags(otherwise=KeywordTags()), KeywordTags()):
        names = tags(recipe, dataset)
        assert len(set(names)) == len(names) == len(dataset.catalog)
        assert all(names)
        same = np.mean([a == b for a, b in zip(names, given, strict=True)])
        assert (same > 0.99) == isinstance(recipe, CatalogTags)

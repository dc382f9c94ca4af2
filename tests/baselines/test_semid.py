from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data import Catalog, Dataset, Ragged
from genrec.errors import GenrecError
from genrec.testing import HISTORY
from genrec_baselines import SemID
from genrec_baselines.semid import clean, find_department

from .indexed import Indexed, common

TREE = [["Toys", "Games", "Chess"], ["Toys", "Games", "Cards"], ["Toys", "Dolls"], ["Toys", "Games", "Chess"]]


def shelf(categories: list[list[str] | None], keys: list[str] | None = None, train: int = 1) -> Dataset:
    """Items with these categories, the first ``train`` of which are warm."""
    keys = keys or [f"key{row:03}" for row in range(len(categories))]
    items = pl.DataFrame({"item": keys, "categories": categories}, schema_overrides={"categories": pl.List(pl.String)})
    once = Ragged.from_lists([[0]])
    return Dataset("shelf", Catalog(items), ["user"], Ragged.from_lists([list(range(train))]), once, once)


def names(categories: list[list[str] | None], folder: Path, **options: object) -> list[str]:
    return Indexed(SemID(**options), shelf(categories), folder).names  # type: ignore[arg-type]


def numbers(names: list[str], path: str) -> list[int]:
    """The numbers of the items of a path, in the order of the items."""
    return [int(name[len(path) + 1 : -1]) for name in names if name.startswith(f"{path}<")]


def new_items(*categories: list[str] | None, first: int = 0) -> pl.DataFrame:
    keys = [f"new{first + row}" for row in range(len(categories))]
    return pl.DataFrame({"item": keys, "categories": list(categories)})


def test_an_item_is_its_path_and_a_number(dataset: Dataset, tmp_path: Path) -> None:
    model = Indexed(SemID(), dataset, tmp_path)
    for path, of_path in (("<Trains>", model.names[:6]), ("<Boats>", model.names[6:])):
        assert sorted(numbers(of_path, path)) == list(range(6))
    model.check()
    assert [token.name for token in model.identifier.names.tokens[:3]] == ["<unknown>", "<Boats>", "<Trains>"]
    assert len(model.identifier.names.tokens) == 3 + 1024


def test_the_department_is_left_out_and_paths_differ_in_length(tmp_path: Path) -> None:
    found = names(TREE, tmp_path)
    assert found[1:3] == ["<Games><Cards><0>", "<Dolls><0>"]
    assert {found[0], found[3]} == {"<Games><Chess><0>", "<Games><Chess><1>"}


def test_a_root_of_another_name_is_left_out_too(tmp_path: Path) -> None:
    # 19 of 20 begin with Toys, and so it is the root of a path that stands there.
    found = names([["Toys", "Dolls"]] * 19 + [["Books", "Toys", "Go"]], tmp_path)
    assert found[-1] == "<Toys><Go><0>"
    assert sorted(numbers(found, "<Dolls>")) == list(range(19))


def test_numbers_do_not_follow_the_keys(tmp_path: Path) -> None:
    shuffled = numbers(names([["Dolls"]] * 400 + [["Games"]] * 40, tmp_path), "<Dolls>")
    assert sorted(shuffled) == list(range(400))
    # Of independent orders the correlation is 0 on average, with a standard deviation of .05.
    assert abs(np.corrcoef(shuffled, range(400))[0, 1]) < 0.2


@settings(max_examples=25)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=2, max_size=12))
def test_items_share_as_many_tokens_as_levels(paths: list[list[str]]) -> None:
    lists: list[list[str] | None] = [["root", *path] for path in paths]
    model = Indexed(SemID(), shelf(lists), Path())
    model.check()
    for first, second in combinations(range(len(paths)), 2):
        shared = common(tuple(paths[first]), tuple(paths[second]))
        assert common(model.codes[first], model.codes[second]) == shared


@pytest.mark.parametrize(
    ("lists", "department"),
    [
        ([["Toys", "A"]] * 19 + [["Books"]], "toys"),
        ([["Toys", "A"]] * 18 + [["Books"]] * 2, ""),
        ([["TOYS"], ["toys", "A"], []], "toys"),
        ([[], []], ""),
    ],
)
def test_a_department_is_what_nearly_all_begin_with(lists: list[list[str]], department: str) -> None:
    # 19 of 20 are 95 %.
    assert find_department(clean(shelf([*lists]).catalog)) == department


def test_names_are_cleaned() -> None:
    lists: list[list[str] | None] = [
        ["Arts &amp;  Crafts ", "x" * 60, "x" * 61, "", None, " "],  # type: ignore[list-item]
        None,
    ]
    assert clean(shelf(lists).catalog).rows() == [
        (0, "Arts & Crafts", "arts & crafts"),
        (0, "x" * 60, "x" * 60),
    ]


def test_names_that_differ_in_case_are_one_category(tmp_path: Path) -> None:
    found = names([["Games", "chess"], ["Dolls"], ["GAMES", "Chess"]], tmp_path)
    assert found[1] == "<Dolls><0>"
    assert sorted(numbers(found, "<GAMES><Chess>")) == [0, 1]


def test_an_item_without_categories_is_a_token_of_its_own(tmp_path: Path) -> None:
    # The department alone says nothing either.
    model = Indexed(SemID(), shelf([["Toys", "Dolls"], None, ["Toys"], []]), tmp_path)
    assert model.names == ["<Dolls><0>", "<key001>", "<key002>", "<key003>"]
    model.check()
    assert sorted(model.rank(HISTORY[2:], 4).items[0, 0].tolist()) == list(range(4))


def test_the_order_of_the_items_makes_no_difference(tmp_path: Path) -> None:
    categories = [*TREE, ["Toys", "games", "Go"], None, ["Toys", "Dolls"]]
    keys = [f"key{row}" for row in range(len(categories))]
    here = Indexed(SemID(), shelf(categories, keys), tmp_path)
    there = Indexed(SemID(), shelf(categories[::-1], keys[::-1]), tmp_path)
    assert there.names[::-1] == here.names
    assert there.codes[::-1] == here.codes


def test_numbers_beyond_1024_have_two_digits(tmp_path: Path) -> None:
    found = names([["Dolls"]] * 1100 + [["Games"]] * 60, tmp_path)
    assert sorted(found[:1100]) == sorted(f"<Dolls><{number // 1024}><{number % 1024}>" for number in range(1100))
    assert sorted(numbers(found, "<Games>")) == list(range(60))


def test_a_path_can_be_cut(tmp_path: Path) -> None:
    found = names(TREE, tmp_path, depth=1)
    assert found[2] == "<Dolls><0>"
    assert sorted(numbers(found, "<Games>")) == [0, 1, 2]
    with pytest.raises(GenrecError, match="depth=0"):
        SemID(depth=0)


def test_a_name_can_be_another_token_at_every_level(tmp_path: Path) -> None:
    categories: list[list[str] | None] = [["Games", "Dolls"], ["Dolls", "Games"]]
    same, apart = (Indexed(SemID(by_level=flag), shelf(categories), tmp_path).codes for flag in (False, True))
    assert same[0][:2] == same[1][1::-1]
    assert len({*apart[0][:2], *apart[1][:2]}) == 4


def test_labels_without_an_order_are_sorted_by_frequency(tmp_path: Path) -> None:
    # Action three times, Indie twice; of the two that occur once the first in the alphabet leads.
    genres: list[list[str] | None] = [["Indie", "Action"], ["Racing", "Action", "Arcade"], ["Action", "Indie"]]
    found = names(genres, tmp_path, order="frequent", depth=2)
    assert found[1] == "<Action><Arcade><0>"
    assert sorted(numbers(found, "<Action><Indie>")) == [0, 1]
    genres.append(["Racing"])
    found = names(genres, tmp_path, order="frequent")
    assert found[1::2] == ["<Action><Racing><Arcade><0>", "<Racing><0>"]
    assert sorted(numbers(found, "<Action><Indie>")) == [0, 1]


def test_warm_items_can_be_numbered_first(tmp_path: Path) -> None:
    data = shelf([["Dolls"]] * 40 + [["Games"]] * 4, train=20)
    assert sorted(numbers(Indexed(SemID(), data, tmp_path).names[:20], "<Dolls>")) != list(range(20))
    model = Indexed(SemID(warm_first=True), data, tmp_path)
    warm = numbers(model.names[:20], "<Dolls>")
    assert sorted(warm) == list(range(20)) != warm
    assert sorted(numbers(model.names[20:40], "<Dolls>")) == list(range(20, 40))
    model.add(new_items(["Dolls"]))
    assert model.names[44:] == ["<Dolls><40>"]


def test_category_tokens_begin_as_the_mean_of_their_words(tmp_path: Path) -> None:
    model = Indexed(SemID(), shelf([["red train"], ["boat"]]), tmp_path)
    ids = model.backbone.tokenizer("red train", add_special_tokens=False)["input_ids"]
    row = [token.name for token in model.identifier.names.tokens].index("<red train>")
    expected = sum(model.backbone.words(torch.tensor([token])) for token in ids) / len(ids)
    torch.testing.assert_close(model.identifier.names.reads[row], expected[0])
    drawn = Indexed(SemID(initial="random"), shelf([["red train"], ["boat"]]), tmp_path)
    assert (drawn.identifier.names.reads[row] - expected[0]).abs().max() > 0.01


@pytest.mark.parametrize(
    ("categories", "said"),
    [([None, None], "none of the 2 items has a category, and"), ([["Toys"]] * 3, "has a category beside `toys`, and")],
)
def test_items_need_categories(categories: list[list[str] | None], said: str, tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match=f"{said}.*take a method that does without, such as CID"):
        names(categories, tmp_path)


def test_added_items_get_the_next_numbers_of_known_paths(tmp_path: Path) -> None:
    model = Indexed(SemID(), shelf([*TREE, ["Toys"]]), tmp_path)
    before, tokens = model.names, model.identifier.names.reads.shape
    model.add(
        new_items(
            ["Toys", "Games", "Chess"],
            ["Toys", "Games", "Backgammon"],
            ["Toys", "Backgammon"],
            ["Books", "Chess", "Backgammon", "Dolls"],
            None,
        )
    )
    assert model.names[:5] == before
    assert model.names[5:] == [
        "<Games><Chess><2>",
        "<Games><0>",
        model.names[7],
        "<Chess><Dolls><0>",
        model.names[9],
    ]
    # Number 0 is that of the item that has a token of its own.
    assert sorted(numbers(model.names[7::2], "<unknown>")) == [1, 2]
    assert model.identifier.names.reads.shape == tokens
    model.check()
    assert sorted(model.rank(HISTORY[2:], 10).items[0, 0].tolist()) == list(range(10))


def test_a_full_leaf_goes_on_with_two_digits(tmp_path: Path) -> None:
    model = Indexed(SemID(), shelf([["Dolls"]] * 1023 + [["Games"]] * 54), tmp_path)
    before = model.names
    model.add(new_items(["Dolls"], ["Dolls"], ["Dolls"]))
    model.add(new_items(["Dolls"], first=3))
    assert model.names[:1077] == before
    assert sorted(model.names[1077:1080]) == ["<Dolls><1023>", "<Dolls><1><0>", "<Dolls><1><1>"]
    assert model.names[1080] == "<Dolls><1><2>"
    model.check()


@pytest.mark.parametrize("kind", ["t5", "causal"])
def test_it_learns(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    Indexed(SemID(), dataset, tmp_path, kind).check_learns()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "categories"), [("toys", 453), ("beauty", 247)])
def test_released_data(released: Callable[[str], Dataset], tmp_path: Path, name: str, categories: int) -> None:
    data = released(name)
    model = Indexed(SemID(), data, tmp_path)
    model.check()
    lists = data.catalog.items["categories"].to_list()
    flat = {category for names in lists for category in names[1:]}
    assert len(flat) == categories
    # As the official code has it: one number, or none where the root is all there is.
    without = sum(len(names) < 2 for names in lists)
    assert len(model.identifier.names.tokens) == 1 + categories + 1024 + without
    assert [len(code) for code in model.codes] == [len(names) if len(names) > 1 else 1 for names in lists]
    assert {token.name for token in model.identifier.names.tokens} >= {f"<{category}>" for category in flat}
    # Nearly all cold items have the path of a warm one.
    paths = [name[: name.rfind("<")] or name for name in model.names]
    warm = {path for path, known in zip(paths, data.warm, strict=True) if known}
    cold = [path in warm for path, known in zip(paths, data.warm, strict=True) if not known]
    assert sum(cold) / len(cold) > 0.95


def test_the_released_steam_has_no_categories(released: Callable[[str], Dataset], tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match="none of the 14330 items has a category"):
        Indexed(SemID(), released("steam"), tmp_path)

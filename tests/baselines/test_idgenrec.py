from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from genrec.assets import Assets, CatalogTags, KeywordTags
from genrec.backbones import T5Backbone
from genrec.data import Dataset, Ragged
from genrec.decoding.trie import ROOT
from genrec.errors import GenrecError
from genrec.identifiers import Search
from genrec.testing.tiny import T5
from genrec.types import PAD, Batch
from genrec_baselines import IDGenRec

from .textual import Textual, same_when_packed, shelf

HISTORY = torch.tensor([[0, 1, 2], [PAD, 6, 7], [PAD, PAD, PAD]])
TARGET = torch.tensor([3, 8, 0])


def codes(model: Textual) -> list[tuple[int, ...]]:
    return [tuple(token for token in row if token != PAD) for row in model.identifier.names.codes.tolist()]


def names(model: Textual) -> list[str]:
    return [model.identifier.names.show(item) for item in range(len(model.catalog))]


def speller(folder: Path, letters: str) -> T5Backbone:
    """A T5 that reads letter by letter, and knows a few of them."""
    words = ["<pad>", "</s>", "<unk>", *letters]
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")]
    )
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder / letters)
    backbone = T5Backbone(sizes=T5, tokenizer=str(folder / letters))
    backbone.setup([])
    return backbone


@pytest.fixture(params=["t5", "causal"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_an_item_is_called_by_its_tags(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    tags = [f"tag {item}" if item else None for item in range(12)]
    items = dataset.catalog.items.with_columns(tags=pl.Series(tags))
    model = Textual(IDGenRec(), replace(dataset, catalog=type(dataset.catalog)(items)), tmp_path, kind)
    assert names(model) == ["red train number 0 trains", *(f"tag {item}" for item in range(1, 12))]
    tokenizer = model.backbone.tokenizer
    assert codes(model)[3] == tuple(tokenizer("tag 3", add_special_tokens=False)["input_ids"])
    assert model.identifier.names.tokens == []


def test_a_new_tokenizer_has_the_words_of_the_tags(tmp_path: Path) -> None:
    dataset = shelf(title=["one", "two", "three"], tags=["webkinz pug", "pug webkinz", "pug of webkinz"])
    identifier = IDGenRec()
    texts = identifier.texts(dataset.catalog, Assets(root=str(tmp_path)).bind(dataset))
    backbone = T5Backbone(sizes=T5)
    backbone.setup(texts)
    model = Textual(identifier, dataset, tmp_path, backbone)
    assert [len(name) for name in codes(model)] == [2, 2, 3]


def test_ids_are_joined_by_semicolons(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    model = Textual(IDGenRec(), dataset, tmp_path, kind)
    tokens, _ = model.identifier.embed(torch.tensor([[PAD, 4, 1]])).compact()
    between = model.backbone.tokenizer(" ; ", add_special_tokens=False)["input_ids"]
    ids = torch.tensor([*codes(model)[4], *between, *codes(model)[1]])
    torch.testing.assert_close(tokens.embeds[0], model.backbone.words(ids))


def test_different_tags_that_read_alike_get_numbers(tmp_path: Path) -> None:
    dataset = shelf(tags=["ab ä", "ab ö", "ab ü", "cab", "c ab", "ß", "é"], train=[2, 1])
    model = Textual(IDGenRec(), dataset, tmp_path, speller(tmp_path, "abc0123456789"))
    a, b, c, two, three = (3, 4, 5, 6 + 2, 6 + 3)
    unknown = 2
    # Items 1 and 2 are warm, and choose first.
    assert codes(model) == [
        (a, b, unknown, three),
        (a, b, unknown),
        (a, b, unknown, two),
        (c, a, b),
        (c, a, b, two),
        (unknown,),
        (unknown, two),
    ]


def test_long_tags_are_cut_and_stay_distinct(tmp_path: Path) -> None:
    tags = ["a" * 30, "a" * 30 + "b", "a" * 8, "a" * 7 + "2"]
    backbone = speller(tmp_path, "ab0123456789")
    model = Textual(IDGenRec(max_tokens=8), shelf(tags=tags), tmp_path, backbone)
    a, two, three, four = (3, 5 + 2, 5 + 3, 5 + 4)
    assert codes(model) == [(a,) * 8, (*[a] * 7, two), (*[a] * 7, three), (*[a] * 7, four)]


def test_two_hundred_items_that_read_alike(tmp_path: Path) -> None:
    tags = [f"a{chr(0x4E00 + item)}" for item in range(200)]
    model = Textual(IDGenRec(), shelf(tags=tags), tmp_path, speller(tmp_path, "a0123456789"))
    assert len(set(codes(model))) == 200


def test_a_tokenizer_that_knows_no_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match="does not tell numbers apart, so `d`"):
        Textual(IDGenRec(), shelf(tags=["b", "c", "d"]), tmp_path, speller(tmp_path, "a"))


def test_the_tags_of_two_hundred_equal_items(tmp_path: Path) -> None:
    model = Textual(IDGenRec(KeywordTags()), shelf(title=["red train"] * 200), tmp_path)
    assert len(set(codes(model))) == 200
    assert max(map(len, codes(model))) <= 24


@settings(max_examples=25)
@given(st.lists(st.text("aä 1-", max_size=5), min_size=3, max_size=15), st.data())
def test_names_are_distinct_and_stay_when_items_are_added(
    tmp_path_factory: pytest.TempPathFactory, titles: list[str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("names")
    known = data.draw(st.integers(1, len(titles)))
    items = {"title": ["a", *titles[1:known]], "tags": [None] * known}
    train = data.draw(st.lists(st.integers(0, known - 1), min_size=1))
    model = Textual(IDGenRec(), shelf(train, **items), folder, speller(folder, "a0123456789tem"))
    before = codes(model)
    for row, title in enumerate(titles[known:]):
        model.add(pl.DataFrame({"item": [f"new{row}"], "title": [title]}))
        assert codes(model)[: len(before)] == before
        before = codes(model)
    assert len(set(before)) == len(titles)
    assert all(0 < len(name) <= 24 for name in before)


def test_the_trie_holds_exactly_the_ids_each_with_an_end_of_its_own(tmp_path: Path, kind: str) -> None:
    tags = ["red", "red train", "red train blue", "blue", "blue boat", "red boat"]
    model = Textual(IDGenRec(search=Search(beams=6)), shelf(tags=tags), tmp_path, kind)
    ids = codes(model)
    assert ids[1][: len(ids[0])] == ids[0]
    trie = model.identifier.trie
    leaves = (trie.item != PAD).nonzero()[:, 0]
    accepted = {tuple(t for t in trie.path(leaf).tolist() if t != PAD): int(trie.item[leaf]) for leaf in leaves}
    assert accepted == {(*path, model.backbone.end): item for item, path in enumerate(ids)}
    assert trie.item[ROOT] == PAD
    found = model.rank(torch.tensor([[0, 1], [PAD, PAD]]), 6)
    assert found.items[0].sort(1).values.tolist() == [list(range(6))] * 2


def test_a_score_is_the_log_probability_of_the_name_and_its_end(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    model = Textual(IDGenRec(search=Search(beams=12)), dataset, tmp_path, kind)
    found = model.rank(HISTORY, 12)
    with torch.no_grad():
        for user, (items, scores) in enumerate(zip(found.items[0], found.scores[0], strict=True)):
            for item, score in zip(items.tolist(), scores.tolist(), strict=True):
                loss = model.loss(HISTORY[user : user + 1], torch.tensor([item]))
                assert score == pytest.approx(-float(loss) * (model.identifier.names.lengths.mean + 1), abs=1e-3)


def test_every_beam_is_a_candidate(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    model = Textual(IDGenRec(search=Search(beams=3)), dataset, tmp_path, kind)
    allowed = torch.ones(3, 12, dtype=torch.bool)
    allowed[1, ::2] = False
    allowed[2] = torch.from_numpy(~dataset.warm)
    for candidates, lists in zip(allowed, model.rank(HISTORY, 3, allowed).items, strict=True):
        for items in lists.tolist():
            assert len(set(items)) == 3
            assert candidates[items].all()


def test_no_validation_or_test_item_changes_a_name_or_a_prompt(dataset: Dataset, tmp_path: Path) -> None:
    shuffled = replace(
        dataset,
        validation=Ragged.from_lists([[11 - user] for user in range(8)]),
        test=Ragged.from_lists([[user] if user else [] for user in range(8)]),
    )
    both = [Textual(IDGenRec(), each, tmp_path / str(row)) for row, each in enumerate((dataset, shuffled))]
    assert codes(both[0]) == codes(both[1])
    contexts = [model.context(HISTORY) for model in both]
    assert torch.equal(contexts[0].embeds, contexts[1].embeds)


def test_names_are_the_same_every_time(dataset: Dataset, tmp_path: Path) -> None:
    first, second = (Textual(IDGenRec(), dataset, tmp_path / name) for name in ("one", "two"))
    assert codes(first) == codes(second)


def test_it_learns(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    model = Textual(IDGenRec(), dataset, tmp_path, kind)
    losses = model.learn(HISTORY, TARGET, 60)
    assert losses[-1] < 0.3 * losses[0]
    assert model.rank(HISTORY, 3).items[0, :, 0].tolist() == TARGET.tolist()


def test_packed_prefixes_are_separate_ones(dataset: Dataset, tmp_path: Path) -> None:
    model = Textual(IDGenRec(), dataset, tmp_path, "causal")
    same_when_packed(
        model, Batch(torch.arange(2), torch.tensor([[PAD, 4, 0], [0, 5, 2]]), torch.tensor([3, 4]), torch.empty(2, 0))
    )


def test_an_added_item_can_be_found(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    model = Textual(IDGenRec(search=Search(beams=14)), dataset, tmp_path, kind)
    model.add(pl.DataFrame({"item": ["new0", "new1"], "title": ["red train number 0", "green plane"]}))
    assert model.rank(HISTORY, 14).items[0].sort(1).values.tolist() == [list(range(14))] * 3


def test_too_short_names_are_refused() -> None:
    with pytest.raises(GenrecError, match="at least 8 tokens, got max_tokens=7"):
        IDGenRec(max_tokens=7)


def test_without_text_there_are_no_names(tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match=r"none of the 3 items has a word .* or tags"):
        Textual(IDGenRec(), shelf(title=[None] * 3), tmp_path)


@pytest.mark.parametrize("name", ["toys", "beauty", "sports"])
def test_real_items(shared: Path, released: Callable[[str], Dataset], tmp_path: Path, name: str) -> None:
    dataset = released(name)
    backbone = T5Backbone(sizes=T5, tokenizer=str(shared / "data" / "tokenizers" / "t5"))
    backbone.setup([])
    model: Any = Textual(IDGenRec(), dataset, tmp_path, backbone)
    ids = codes(model)
    assert len(set(ids)) == len(ids) == len(dataset.catalog)
    assert 1 <= min(map(len, ids)) <= max(map(len, ids)) <= 24
    shown = names(model)
    assert all(re.fullmatch(r"\w+( \w+)*", each) for each in shown)
    given_tags = dataset.catalog.items["tags"].to_list()
    assert np.mean([a == b for a, b in zip(shown, given_tags, strict=True)]) > 0.99
    assert len(model.identifier.trie.item[model.identifier.trie.item != PAD]) == len(ids)
    assert isinstance(model.identifier.tags, CatalogTags)

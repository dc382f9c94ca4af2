from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec import devices
from genrec.backbones import Backbone, T5Backbone
from genrec.backbones.encoder import CausalTextEncoder
from genrec.data import Dataset
from genrec.errors import GenrecError
from genrec.testing import tiny_backbone
from genrec.testing.tiny import T5
from genrec.types import PAD, Batch
from genrec_baselines import BIGRec
from genrec_baselines import bigrec as module

from .textual import Textual, same_when_packed, shelf, state_of

HISTORY = torch.tensor([[0, 1, 2], [PAD, 6, 7], [PAD, PAD, PAD]])
TARGET = torch.tensor([3, 8, 0])


@pytest.fixture(params=["t5", "causal"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def writes(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    """Let these texts be written, one per user, whatever the prompt is."""

    def search(writer: Any, end: int, beams: int, longest: int, length_penalty: float) -> Tensor:
        tokenizer = writer.backbone.tokenizer
        rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        table = torch.full((len(rows), max(map(len, rows))), PAD)
        for row, ids in zip(table, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids)
        return table

    monkeypatch.setattr(module, "free_search", search)


def codes(model: Textual) -> list[list[int]]:
    return [[token for token in row if token != PAD] for row in model.identifier.names.codes.tolist()]


def test_an_item_is_its_title_in_quotes(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    model = Textual(BIGRec(), dataset, tmp_path, kind)
    assert model.identifier.names.show(7) == '"blue boat number 1"'
    assert model.identifier.names.tokens == []
    tokens, _ = model.identifier.embed(torch.tensor([[PAD, 4, 7]])).compact()
    between = model.backbone.tokenizer(", ", add_special_tokens=False)["input_ids"]
    ids = torch.tensor([*codes(model)[4], *between, *codes(model)[7]])
    torch.testing.assert_close(tokens.embeds[0], model.backbone.words(ids))


def test_items_without_a_title(tmp_path: Path) -> None:
    dataset = shelf(
        title=["Red train", None, None, None],
        brand=["Acme", "Acme", None, None],
        categories=[["Toys"], ["Toys", "Boats"], ["Toys"], None],
    )
    model = Textual(BIGRec(), dataset, tmp_path)
    shown = [model.identifier.names.show(item) for item in range(4)]
    assert shown == ['"Red train"', '"Acme, Toys, Boats"', '"Toys"', '"key3"']
    with pytest.raises(GenrecError, match=r"none of the 2 items has a title.* BIGRec writes titles"):
        Textual(BIGRec(), shelf(title=[None, None]), tmp_path)


def test_long_titles_are_cut_and_closed(tmp_path: Path, kind: str) -> None:
    model = Textual(BIGRec(title_tokens=3), shelf(title=["red train red train red train", "red train"]), tmp_path, kind)
    long, short = codes(model)
    whole = model.backbone.tokenizer('"red train red train red train"', add_special_tokens=False)["input_ids"]
    assert long == [*whole[:4], whole[-1]]
    assert len(short) <= 5
    # 99.9 % of the titles are as long as the longest of two.
    assert model.identifier.longest == 5 + 2


def test_only_recent_items_are_read(dataset: Dataset, tmp_path: Path) -> None:
    model = Textual(BIGRec(history=2), dataset, tmp_path)
    tokens, _ = model.identifier.embed(HISTORY).compact()
    recent, _ = model.identifier.embed(HISTORY[:, 1:]).compact()
    assert torch.equal(tokens.embeds, recent.embeds)
    assert torch.equal(tokens.mask, recent.mask)
    whole, _ = Textual(BIGRec(history=None), dataset, tmp_path).identifier.embed(HISTORY).compact()
    assert whole.mask.sum() > tokens.mask.sum()


@pytest.mark.parametrize("grounding", ["sentence", "backbone"])
def test_an_item_whose_title_is_written_is_first(
    dataset: Dataset, tmp_path: Path, kind: str, grounding: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Textual(BIGRec(grounding=grounding), dataset, tmp_path, kind)
    writes(monkeypatch, *(f'"{title}"' for title in dataset.catalog.titles))
    found = model.rank(torch.full((12, 1), PAD), 12)
    assert found.items[0, :, 0].tolist() == list(range(12))
    assert (found.scores[0, :, 0] > -1e-3).all()
    assert (found.scores[0, :, 1] < -1e-3).all()


def test_items_that_share_a_title_lead_together_in_the_order_of_rows(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles = ["red train", "blue boat", "green plane", "blue boat", "red train", "blue boat"]
    model = Textual(BIGRec(), shelf(title=titles), tmp_path, kind)
    writes(monkeypatch, '"blue boat"', "blue train")
    found = model.rank(torch.full((2, 1), PAD), 6)
    assert found.items[0, 0, :3].tolist() == [1, 3, 5]
    assert (found.scores[0, 0, :3] > -1e-3).all()
    order = found.items[0, 1].tolist()
    assert [item for item in order if item in (1, 3, 5)] == [1, 3, 5]
    assert [item for item in order if item in (0, 4)] == [0, 4]


@pytest.mark.parametrize("text", ["", '"', '""', ' " ', "</s>"])
@pytest.mark.parametrize("grounding", ["sentence", "backbone"])
def test_an_empty_text_is_grounded_too(
    dataset: Dataset, tmp_path: Path, kind: str, grounding: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Textual(BIGRec(grounding=grounding), dataset, tmp_path, kind)
    writes(monkeypatch, text, '"')
    found = model.rank(torch.full((2, 1), PAD), 5)
    assert torch.isfinite(found.scores).all()
    assert torch.equal(found.items[0, 0], found.items[0, 1])


@pytest.mark.parametrize("grounding", ["sentence", "backbone"])
def test_the_ranking_is_by_the_distance_to_every_title(
    dataset: Dataset, tmp_path: Path, kind: str, grounding: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Textual(BIGRec(grounding=grounding), dataset, tmp_path, kind)
    writes(monkeypatch, '"red boat number 9"', "train of Acme")
    found = model.rank(torch.full((2, 1), PAD), 12)
    encode = model.identifier.encoder if grounding == "backbone" else model.assets.encode
    for user, text in enumerate(("red boat number 9", "train of Acme")):
        (written,) = encode([text])
        distances = [float((written - encode([title])[0]).square().sum().sqrt()) for title in dataset.catalog.titles]
        np.testing.assert_allclose(-found.scores[0, user], sorted(distances), atol=1e-4)
        np.testing.assert_allclose(np.array(distances)[found.items[0, user]], sorted(distances), atol=1e-4)


def test_cold_candidates_alone_are_the_full_ranking_without_the_others(dataset: Dataset, tmp_path: Path) -> None:
    for gammas in ((0.0,), (2.0,)):
        model = Textual(BIGRec(gammas=gammas), dataset, tmp_path)
        cold = torch.from_numpy(~dataset.warm)
        full = model.rank(HISTORY, 12)
        some = model.rank(HISTORY, 4, cold[None])
        for items, of_cold in zip(full.items[0], some.items[0], strict=True):
            assert of_cold.tolist() == [item for item in items.tolist() if cold[item]]


def test_popularity_brings_items_closer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = ["red train", "blue boat", "green plane", "red boat"]
    dataset = shelf(title=titles, train=[1, 3, 3, 1, 3, 1, 1, 0])
    model = Textual(BIGRec(gammas=[0, 1, 50]), dataset, tmp_path)
    writes(monkeypatch, "red red train blue")
    popularity = torch.tensor([1, 4, 0, 3]) / 4
    torch.testing.assert_close(model.identifier.popularity, popularity)
    memory = model.backbone.read(model.context(torch.tensor([[0]])))
    each = model.identifier.rank_each(model.backbone, memory, 4, torch.ones(1, 4, dtype=torch.bool))
    assert list(each) == [0, 1, 50]
    plain = torch.empty(4, dtype=torch.float64).scatter_(0, each[0].items[0, 0], -each[0].scores[0, 0])
    scaled = (plain - plain.min()) / (plain.max() - plain.min())
    for gamma in (1, 50):
        expected = scaled / (1 + popularity) ** gamma
        found = each[gamma].items[0, 0]
        assert (expected[found].diff() >= -1e-9 / (1 + popularity[found[1:]]) ** gamma).all()
        np.testing.assert_allclose(each[gamma].scores[0, 0].neg().exp(), expected[found], rtol=1e-6, atol=1e-30)
        model.identifier.choose(gamma)
        assert torch.equal(model.rank(torch.tensor([[0]]), 4).items, each[gamma].items)
    assert each[50].items.tolist() != each[0].items.tolist()
    model.identifier.choose(0)
    assert torch.equal(model.rank(torch.tensor([[0]]), 4).items, each[0].items)


def test_items_are_compared_in_parts_and_share_their_titles_distance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["red", "blue", "green", "train", "boat", "plane", "small", "old"]
    titles = ["blue boat" if item % 9 == 4 else " ".join(words[item % 8 :: 1 + item % 3]) for item in range(200)]
    model = Textual(BIGRec(gammas=[0, 2]), shelf(title=titles, train=[3, 70, 3, 150]), tmp_path)
    writes(monkeypatch, "old blue boat", "green train")
    memory = model.backbone.read(model.context(torch.full((2, 1), PAD)))
    allowed = torch.ones(2, 200, dtype=torch.bool)
    allowed[1, :90] = False
    whole = model.identifier.rank_each(model.backbone, memory, 40, allowed)
    monkeypatch.setattr(devices, "held_at_once", lambda device: 1)
    parts = model.identifier.rank_each(model.backbone, memory, 40, allowed)
    for gamma, expected in whole.items():
        torch.testing.assert_close(parts[gamma].scores, expected.scores)
        for items, scores in zip(parts[gamma].items.flatten(0, 1), parts[gamma].scores.flatten(0, 1), strict=True):
            boats = [place for place, item in enumerate(items.tolist()) if item % 9 == 4]
            assert len(scores[boats].unique()) <= 1
            assert items[boats].tolist() == sorted(items[boats].tolist())
    boats = [item for item in range(200) if item % 9 == 4]
    assert parts[0].items[0, 0, : len(boats)].tolist() == boats


def test_items_of_one_title_are_at_one_distance_wherever_they_stand() -> None:
    generator, identifier = torch.Generator().manual_seed(0), BIGRec()
    identifier.titles = torch.randn(20, 37, generator=generator)
    identifier.title_of = torch.arange(200) % 20
    identifier.shared = torch.ones(200, dtype=torch.bool)
    written = torch.randn(32, 37, generator=generator, dtype=torch.float64)
    parts = [identifier._distances(written, start, start + 64) for start in range(0, 200, 64)]
    found = torch.cat(parts, 1)
    first = [int((identifier.title_of == title).nonzero()[0]) for title in identifier.title_of]
    assert torch.equal(found, found[:, first])
    torch.testing.assert_close(found, torch.cdist(written, identifier.titles.double())[:, identifier.title_of])


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 50).map(lambda n: n / 10), min_size=2, max_size=8),
    st.floats(0.01, 100),
    st.sampled_from([0.0, 0.5, 3.0]),
    st.floats(0, 1),
)
def test_weighting(distances: list[float], scale: float, gamma: float, constant: float) -> None:
    identifier = BIGRec()
    # Titles on a line, and what was written at its end.
    table = torch.tensor([distances], dtype=torch.float64).T
    identifier.title_of = torch.arange(len(distances))
    identifier.shared = torch.ones(len(distances), dtype=torch.bool)

    def order(table: Tensor, gamma: float, popularity: Tensor) -> list[int]:
        identifier.titles, identifier.popularity = table, popularity
        everything = torch.ones(1, len(table), dtype=torch.bool)
        (found,) = identifier._nearest(table.new_zeros(1, 1), len(table), everything, [gamma])
        return found.items[0, 0].tolist()

    popularity = torch.linspace(0, 1, len(distances))
    expected = sorted(range(len(distances)), key=lambda item: (distances[item], item))
    assert order(table, 0.0, popularity) == expected
    assert order(table, gamma, torch.full((len(distances),), constant)) == expected
    weights = [
        (distance - min(distances)) / max(max(distances) - min(distances), 1e-12) / (1 + w) ** gamma
        for distance, w in zip(distances, popularity.tolist(), strict=True)
    ]
    gaps = np.diff(sorted(weights))
    if gamma == 0 or (gaps > 1e-6).all():
        assert order(scale * table, gamma, popularity) == order(table, gamma, popularity)


def test_it_learns_to_write_titles(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    model = Textual(BIGRec(), dataset, tmp_path, kind)
    losses = model.learn(HISTORY, TARGET, 60)
    assert losses[-1] < 0.3 * losses[0]
    found = model.rank(HISTORY, 3)
    assert found.items[0, :, 0].tolist() == TARGET.tolist()
    assert (found.scores[0, :, 0] > -1e-3).all()


def test_the_loss_is_the_mean_over_the_title_and_its_end(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    model = Textual(BIGRec(), dataset, tmp_path, kind)
    with torch.no_grad():
        together = float(model.loss(HISTORY, TARGET))
        alone = [float(model.loss(HISTORY[user : user + 1], TARGET[user : user + 1])) for user in range(3)]
    lengths = [len(codes(model)[item]) + 1 for item in TARGET.tolist()]
    assert together == pytest.approx(sum(np.multiply(alone, lengths)) / sum(lengths), abs=1e-4)


def test_packed_prefixes_are_separate_ones(dataset: Dataset, tmp_path: Path) -> None:
    batch = Batch(torch.arange(2), torch.tensor([[PAD, 4, 0], [0, 5, 2]]), torch.tensor([3, 4]), torch.empty(2, 0))
    same_when_packed(Textual(BIGRec(history=3), dataset, tmp_path, "causal"), batch)
    with pytest.raises(GenrecError, match=r"last 2 items.*`data\.max_history` to 2"):
        Textual(BIGRec(history=2), dataset, tmp_path, "causal").packed_loss(batch)
    same_when_packed(Textual(BIGRec(history=None), dataset, tmp_path, "causal"), batch)


def test_more_beams_and_greedy(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    for beams in (1, 4):
        model = Textual(BIGRec(beams=beams), dataset, tmp_path, kind)
        together = model.rank(HISTORY, 5)
        for user, row in enumerate(HISTORY):
            alone = model.rank(row[row != PAD][None], 5)
            assert torch.equal(alone.items[:, 0], together.items[:, user])


def test_texts_are_embedded_once(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Textual(BIGRec(), dataset, tmp_path)
    asked: list[str] = []
    encode = model.assets.encode
    monkeypatch.setattr(model.assets, "encode", lambda texts, keep=False: asked.extend(texts) or encode(texts, keep))
    writes(monkeypatch, "a", "b", '"a"', '"blue boat number 1"')
    first = model.rank(torch.full((4, 1), PAD), 3)
    assert asked == ["a", "b"]
    assert torch.equal(model.rank(torch.full((4, 1), PAD), 3).items, first.items)
    assert asked == ["a", "b"]
    model.identifier.index(model.catalog, model.assets)
    assert asked == ["a", "b"]
    model.rank(torch.full((4, 1), PAD), 3)
    assert asked == ["a", "b", "a", "b"]


def test_titles_are_encoded_in_one_run_only(dataset: Dataset, tmp_path: Path) -> None:
    first = Textual(BIGRec(), dataset, tmp_path)
    built = set(tmp_path.iterdir())
    second = Textual(BIGRec(), dataset, tmp_path)
    assert set(tmp_path.iterdir()) == built
    assert torch.equal(first.identifier.titles, second.identifier.titles)


def test_added_items(dataset: Dataset, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Textual(BIGRec(gammas=[1.0]), dataset, tmp_path, kind)
    before, written = codes(model), model.identifier.titles.clone()
    items = pl.DataFrame({"item": ["new0", "new1"], "title": ["red train number 0", "train boat"]})
    model.add(items)
    assert codes(model)[:12] == before
    assert torch.equal(model.identifier.titles[:12], written)
    assert len(model.identifier.titles) == 13, "one of the new titles is known"
    writes(monkeypatch, '"train boat"')
    assert model.rank(torch.full((1, 1), PAD), 14).items[0, 0, 0] == 13
    assert len(set(model.rank(torch.full((1, 1), PAD), 14).items[0, 0].tolist())) == 14


def lora(folder: Path) -> Backbone:
    pretrained: Any = tiny_backbone("causal")
    pretrained.model.save_pretrained(folder)
    pretrained.tokenizer.save_pretrained(folder)
    return tiny_backbone("causal", sizes=None, pretrained=str(folder), tuning="lora")


@pytest.mark.parametrize("tuned", ["t5", "causal", "lora"])
def test_titles_stay_where_they_are_while_the_model_learns(dataset: Dataset, tmp_path: Path, tuned: str) -> None:
    backbone = lora(tmp_path / "model") if tuned == "lora" else tiny_backbone(tuned)
    model = Textual(BIGRec(grounding="backbone"), dataset, tmp_path, backbone)
    before, text = model.identifier.titles.clone(), model.identifier.encoder(["red boat"])
    losses = model.learn(HISTORY, TARGET, 5)
    assert losses[-1] < losses[0]
    model.identifier._known.clear()
    model.identifier.index(model.catalog, model.assets)
    assert torch.equal(model.identifier.titles, before)
    assert torch.equal(model.identifier.encoder(["red boat"]), text)


def test_a_language_model_reads_the_titles_once(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large one takes minutes for a catalogue, and a run is set up for every command."""
    first = Textual(BIGRec(grounding="backbone"), dataset, tmp_path, lora(tmp_path / "model"))
    first.learn(HISTORY, TARGET, 3)
    with monkeypatch.context() as patch:
        patch.setattr(CausalTextEncoder, "encode", None)
        second = Textual(BIGRec(grounding="backbone"), dataset, tmp_path, lora(tmp_path / "model"))
        second.identifier.load_state_dict(state_of(first.identifier))
        second.identifier.index(second.catalog, second.assets)
    assert torch.equal(second.identifier.titles, first.identifier.titles)

    other = lora(tmp_path / "model")
    for parameter in other.parameters():
        parameter.data.mul_(2.0)
    third = Textual(BIGRec(grounding="backbone"), dataset, tmp_path, other)
    assert not torch.equal(third.identifier.titles, first.identifier.titles)


@pytest.mark.parametrize("grounding", ["sentence", "backbone"])
def test_a_loaded_identifier_embeds_as_the_saved_one(dataset: Dataset, tmp_path: Path, grounding: Any) -> None:
    model = Textual(BIGRec(grounding=grounding, gammas=[0.0, 2.0]), dataset, tmp_path)
    model.learn(HISTORY, TARGET, 3)
    model.identifier.choose(2.0)
    backbone: Any = tiny_backbone("t5")
    with torch.no_grad():
        backbone.head().add_(torch.randn_like(backbone.head()))
    loaded = Textual(BIGRec(grounding=grounding, gammas=[0.0, 2.0]), dataset, tmp_path, backbone)
    loaded.identifier.load_state_dict(state_of(model.identifier))
    loaded.backbone.load_state_dict(model.backbone.state_dict())
    loaded.identifier.index(loaded.catalog, loaded.assets)
    expected, found = model.rank(HISTORY, 5), loaded.rank(HISTORY, 5)
    assert torch.equal(found.items, expected.items)
    assert torch.equal(found.scores, expected.scores)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"history": 0}, "history=0"),
        ({"beams": 0}, "beams=0"),
        ({"title_tokens": 0}, "title_tokens=0"),
        ({"length_penalty": -1.0}, "length_penalty=-1.0"),
        ({"gammas": ()}, r"gammas from 0 on, got \[\]"),
        ({"gammas": (-1.0,)}, r"gammas from 0 on, got \[-1.0\]"),
    ],
)
def test_bad_arguments(options: dict[str, Any], said: str) -> None:
    with pytest.raises(GenrecError, match=said):
        BIGRec(**options)


def test_real_titles(shared: Path, released: Callable[[str], Dataset], tmp_path: Path) -> None:
    backbone = T5Backbone(sizes=T5, tokenizer=str(shared / "data" / "tokenizers" / "t5"))
    backbone.setup([])
    model = Textual(BIGRec(), released("toys"), tmp_path, backbone)
    assert max(map(len, codes(model))) == 34
    assert model.identifier.longest == 36
    assert model.identifier.names.show(2) == '"Rory\'s Story Cubes"'
    assert len(model.identifier.titles) < 11_908, "some items share a title"
    with pytest.raises(GenrecError, match="none of the 14330 items has a title"):
        Textual(BIGRec(), released("steam"), tmp_path, backbone)

"""Neighbours by text, against arithmetic written by hand and a slow search, and their known level on real data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from genrec.assets import Assets, TfidfText
from genrec.assets.terms import Terms
from genrec.config.files import load_config
from genrec.data import Catalog, Dataset, InMemory, Ragged, Release, SequenceData
from genrec.errors import GenrecError
from genrec.evaluation.protocol import Measure
from genrec.recommenders import ContentKNN, CopyLast, RankingModule
from genrec.testing import quiet_trainer
from genrec.types import PAD

TITLES = ["red kite", "blue kite", "red drum", "wooden train", None, "blue train set"]
SETTINGS = ("all", "warm", "cold", "all-new", "warm-new", "cold-new")
KNOWN = {
    "toys": (0.0218, 0.0225, 0.0951, 0.0271, 0.0265, 0.0958),
    "beauty": (0.0251, 0.0261, 0.0891, 0.0288, 0.0306, 0.0939),
    "sports": (0.0111, 0.0103, 0.0704, 0.0129, 0.0123, 0.072),
}
EVERYTHING = torch.ones(1, len(TITLES), dtype=torch.bool)


def catalog(titles: list[str | None] = TITLES) -> Catalog:
    keys = [f"key{row}" for row in range(len(titles))]
    return Catalog(pl.DataFrame({"item": keys, "title": titles, "brand": ["Halden"] * len(titles)}))


def shop() -> Dataset:
    lists = Ragged.from_lists([[0, 1], [2, 3]])
    return Dataset(
        "shop", catalog(), ["anna", "ben"], lists, Ragged.from_lists([[3], [5]]), Ragged.from_lists([[2], [1]])
    )


def measured(module: RankingModule) -> RankingModule:
    quiet_trainer().test(module, SequenceData(InMemory(shop())), verbose=False)
    return module


def cosines(table: np.ndarray) -> np.ndarray:
    lengths = np.maximum(np.linalg.norm(table, axis=1), 1e-12)
    return table @ table.T / lengths[:, None] / lengths


def test_words_by_hand() -> None:
    terms = Terms(catalog(), ["title"])
    dense = terms.vectors(catalog()).toarray()
    # Of six items two are "red", as many are "kite": equal weights.
    assert dense[0][dense[0] > 0].tolist() == pytest.approx([0.5**0.5] * 2)
    # In "blue kite", too; "drum" is one item's alone, and counts for more.
    rare, common = (np.log(7 / (1 + count)) + 1 for count in (1, 2))
    drum = 0.5**0.5 * common / np.hypot(rare, common)
    assert (dense @ dense.T)[0].tolist() == pytest.approx([1, 0.5, drum, 0, 0, 0])
    assert not dense[4].any(), "an item without words is near nothing"
    later = catalog(["a red unicorn"])
    assert np.count_nonzero(terms.vectors(later).toarray()) == 1, "a word that no item had at first counts for nothing"


@pytest.mark.parametrize("fields", [("title",), ("title", "brand"), None])
def test_scores_are_the_weighted_cosines_to_the_last_items(fields: tuple[str, ...] | None, tmp_path: Path) -> None:
    assets = Assets(TfidfText(dim=4, seed=0), root=str(tmp_path))
    knn = measured(ContentKNN(fields, last=2, decay=0.5, assets=assets, ks=(1, 2)))
    table = knn.item_assets.text.numpy() if knn.item_assets else Terms(catalog(), fields).vectors(catalog()).toarray()
    near = cosines(table)
    histories = [[3, 2, 0], [PAD, PAD, 5], [PAD, PAD, PAD]]
    ranking = knn.rank(torch.tensor(histories), 6, EVERYTHING)
    for history, items, scores in zip(histories, ranking.items[0].tolist(), ranking.scores[0].tolist(), strict=True):
        expected = np.zeros(6)
        for age, item in enumerate(reversed(history[-2:])):
            if item != PAD:
                expected += 0.5**age * near[item]
        assert scores == pytest.approx(expected[items].tolist(), abs=1e-5)
        assert scores == sorted(scores, reverse=True)
        assert sorted(items) == list(range(6))


def test_the_last_item_alone_decides() -> None:
    last = measured(CopyLast(ks=(1, 2)))
    one, other = (last.rank(torch.tensor([history]), 6, EVERYTHING) for history in ([3, 1, 0], [5, 2, 0]))
    assert torch.equal(one.items, other.items)
    assert one.items[0, 0, 0] == 0, "nothing is nearer to an item than itself"
    allowed = EVERYTHING.clone()
    allowed[0, 0] = False
    assert set(last.rank(torch.tensor([[0]]), 2, allowed).items[0, 0].tolist()) == {1, 2}


def test_new_items_are_known_by_their_texts() -> None:
    knn = measured(ContentKNN(ks=(1, 2)))
    knn.add_items(pl.DataFrame({"item": ["new"], "title": ["wooden train"]}))
    everything = torch.ones(1, 7, dtype=torch.bool)
    assert set(knn.rank(torch.tensor([[3]]), 2, everything).items[0, 0].tolist()) == {3, 6}


def test_bad_settings() -> None:
    for bad, said in {
        ("last", 0): "`last` of ContentKNN is 0: give 1 or more",
        ("decay", 0.0): "`decay` of ContentKNN is 0.0: give a number above 0, and at most 1",
        ("decay", float("nan")): "`decay` of ContentKNN is nan",
        ("fields", None): "ContentKNN without `fields` compares the embeddings of `assets.text`: give a text encoder",
    }.items():
        with pytest.raises(GenrecError, match=said):
            ContentKNN(**{bad[0]: bad[1]})
    with pytest.raises(GenrecError, match="give at least one field"):
        measured(ContentKNN(fields=(), ks=(1, 2)))
    with pytest.raises(GenrecError, match="none of the 6 items has a word in tags: give other fields"):
        measured(ContentKNN(fields=("tags",), ks=(1, 2)))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "known"), KNOWN.items())
def test_the_known_level_on_the_released_splits(shared: Path, name: str, known: tuple[float, ...]) -> None:
    """Recall@10 with what was chosen on validation, as the docs show it."""
    data = Release(name).load(shared / "data" / "setrec")
    module = ContentKNN(**load_config(f"{name}_contentknn.yaml")["model"]["init_args"])
    module.measure = Measure(new=True)
    quiet_trainer().test(module, SequenceData(InMemory(data)), verbose=False)
    found = tuple(module.results[setting]["recall@10"] for setting in SETTINGS)
    assert found == pytest.approx(known, abs=1e-4)
    # Nobody takes an item twice: the targets are the same.
    assert module.results["all"]["users"] == module.results["all-new"]["users"]

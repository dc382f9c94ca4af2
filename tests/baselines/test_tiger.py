"""TIGER: identifiers, and what it learns with them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from genrec.assets import Assets, ReleasedCF, RQVAECodes, TfidfText
from genrec.assets.codes.fitting import Training
from genrec.data import Catalog, Dataset
from genrec.recommenders.prompts import Prompt
from genrec.testing import tiny_backbone
from genrec.types import PAD
from genrec_baselines.numbering import code_tokens
from genrec_baselines.tiger import TIGER

from ..identifiers.sequences import Model

QUICK = RQVAECodes(levels=3, size=8, training=Training(steps=30, batch_size=16))
HISTORY = torch.tensor([[PAD, 0, 1], [3, 7, 2]])


def fake(codes: np.ndarray) -> Any:
    return SimpleNamespace(codes=lambda recipe: torch.from_numpy(codes))


def test_tokens_are_named_level_by_level() -> None:
    assert [token.name for token in code_tokens([2, 3])] == ["<a_0>", "<a_1>", "<b_0>", "<b_1>", "<b_2>"]


def test_every_item_has_three_codes_and_a_number(dataset: Dataset, tmp_path: Path) -> None:
    assets = Assets(text=TfidfText(dim=8), cf=ReleasedCF(), root=str(tmp_path)).bind(dataset)
    tiger = TIGER(QUICK)
    tiger.setup(dataset.catalog, assets, tiny_backbone("t5"))
    codes = tiger.names.codes.numpy() - tiger.names.words
    assert codes.shape == (12, 4)
    assert len(np.unique(codes, axis=0)) == 12
    assert (codes[:, :3] - 8 * np.arange(3) == assets.codes(QUICK).numpy()).all()
    assert (codes[:, 3] >= 24).all()
    assert len(tiger.names.tokens) == 3 * 8 + 256
    numbers = codes[:, 3] - 3 * 8
    found, sizes = tiger.item_codes()
    assert found.tolist() == np.column_stack([assets.codes(QUICK), numbers]).tolist()
    assert sizes == [8, 8, 8, 256]


def test_items_of_the_same_text_are_told_apart_by_their_number() -> None:
    model = Model(TIGER(QUICK), tiny_backbone("t5"), 0)
    codes = np.array([[1, 2, 3], [4, 5, 6], [1, 2, 3], [1, 2, 3]])
    model.identifier.index(range(4), fake(codes))  # type: ignore[arg-type]
    shown = [model.identifier.names.show(item) for item in range(4)]
    assert shown == ["<a_1><b_2><c_3><d_0>", "<a_4><b_5><c_6><d_0>", "<a_1><b_2><c_3><d_1>", "<a_1><b_2><c_3><d_2>"]


def test_more_equals_than_numbers_have_numbers_of_two_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    model = Model(TIGER(QUICK), tiny_backbone("t5"), 0)
    names = model.identifier.names
    codes = np.zeros((301, 3), np.int64)
    codes[300] = 7
    model.identifier.index(range(301), fake(codes))  # type: ignore[arg-type]
    assert capsys.readouterr().out.startswith("TIGER: 300 items share the codes [0, 0, 0], so numbers have up to 2 tok")
    shown = [names.show(item) for item in (0, 299, 300)]
    assert shown == ["<a_0><b_0><c_0><d_0><d_0>", "<a_0><b_0><c_0><d_1><d_43>", "<a_7><b_7><c_7><d_0><d_0>"]
    assert len(names.tokens) == 3 * 8 + 256
    assert not names.lengths.ragged
    assert len(model.identifier.trie.item.unique()) == 301 + 1
    found, sizes = model.identifier.item_codes()
    assert found.tolist() == [*([0, 0, 0, number] for number in range(300)), [7, 7, 7, 0]]
    assert sizes == [8, 8, 8, 300]


def test_added_items_may_have_a_token_more(capsys: pytest.CaptureFixture[str]) -> None:
    model = Model(TIGER(QUICK), tiny_backbone("t5"), 0)
    names, codes = model.identifier.names, np.zeros((400, 3), np.int64)
    codes[270:] = 1
    model.identifier.index(range(256), fake(codes[:256]))  # type: ignore[arg-type]
    assert not capsys.readouterr().out
    before, vocabulary = names.codes.clone(), len(names.tokens)
    for count in (260, 280, 400):
        model.identifier.index(range(count), fake(codes[:count]))  # type: ignore[arg-type]
    assert capsys.readouterr().out.count("items share the codes") == 1, "it is said when it begins"
    assert torch.equal(names.codes[:256, :4], before)
    assert [names.show(item) for item in (255, 256, 270, 399)] == [
        "<a_0><b_0><c_0><d_255>",
        "<a_0><b_0><c_0><d_1><d_0>",
        "<a_1><b_1><c_1><d_0>",
        "<a_1><b_1><c_1><d_129>",
    ]
    assert len(names.tokens) == vocabulary
    assert len(model.identifier.trie.item.unique()) == 400 + 1, "all are told apart"


@pytest.mark.parametrize("kind", ["t5", "causal"])
def test_it_learns_which_item_follows(kind: str, dataset: Dataset, tmp_path: Path) -> None:
    assets = Assets(text=TfidfText(dim=8), cf=ReleasedCF(), root=str(tmp_path)).bind(dataset)
    backbone = tiny_backbone(kind)
    tiger = TIGER(QUICK)
    tiger.setup(dataset.catalog, assets, backbone)
    prompt = Prompt()
    prompt.setup(backbone)
    history, target = torch.arange(11)[:, None], torch.arange(1, 12)
    optimizer = torch.optim.Adam([*backbone.parameters(), *tiger.parameters()], lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        tiger.loss(backbone, prompt(backbone, tiger.embed(history)), history, target)["loss"].backward()
        optimizer.step()
    tiger.eval()
    with torch.no_grad():
        memory = backbone.eval().read(prompt(backbone, tiger.embed(history)))
        found = tiger.rank(backbone, memory, 3, torch.ones(1, 12, dtype=torch.bool))
    assert (found.items[0, :, 0] == target).float().mean() > 0.8


def test_items_that_are_added_find_their_tokens(dataset: Dataset, tmp_path: Path) -> None:
    assets = Assets(text=TfidfText(dim=8), cf=ReleasedCF(), root=str(tmp_path)).bind(dataset)
    backbone = tiny_backbone("t5")
    tiger = TIGER(QUICK)
    tiger.setup(dataset.catalog, assets, backbone)
    before = tiger.names.codes.clone()
    more: Catalog = dataset.catalog.extend(pl.DataFrame({"item": ["new", "twin"], "title": ["red train number 0"] * 2}))
    tiger.index(more, assets.extend(more))
    assert torch.equal(tiger.names.codes[:12], before)
    assert len(tiger.trie.item.unique()) == 14 + 1
    with torch.no_grad():
        backbone.eval()
        prompt = Prompt()
        prompt.setup(backbone)
        memory = backbone.read(prompt(backbone, tiger.embed(HISTORY)))
        found = tiger.eval().rank(backbone, memory, 14, torch.ones(1, 14, dtype=torch.bool))
    assert found.items[0].sort(1).values.tolist() == [list(range(14))] * 2

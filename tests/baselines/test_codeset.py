"""What must hold for CodeSet whatever its weights are."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

from genrec.assets import PQCodes
from genrec.data import Dataset
from genrec.errors import GenrecError
from genrec.testing import HISTORY, TARGET, TinyModel, tiny_assets, tiny_backbone
from genrec.testing.tiny import by_item
from genrec_baselines import CodeSet

TEXT = PQCodes(digits=3, size=4, rotate=False, seed=0)
CF = PQCodes(digits=2, size=2, rotate=False, source="cf", fit_items="warm", seed=0)
COLD = [4, 5, 10, 11]


class Model(TinyModel):
    """CodeSet on a tiny model, in evaluation mode."""

    def __init__(self, dataset: Dataset, folder: Path, kind: str = "t5", **keys: Any) -> None:
        self.codeset = CodeSet(TEXT, CF, **keys)
        super().__init__(self.codeset, tiny_backbone(kind), dataset, tiny_assets(dataset, folder))
        self.codeset.eval()

    @property
    def codes(self) -> Tensor:
        return self.codeset.codes.long()


@pytest.fixture(params=["t5", "causal"])
def model(request: pytest.FixtureRequest, dataset: Dataset, tmp_path: Path) -> Model:
    return Model(dataset, tmp_path, request.param)


@torch.no_grad()
def slowly(model: Model, history: Tensor, beta: float) -> Tensor:
    """The scores of all items, [B, N], one user, item and slot after another."""
    states = model.backbone.write(model.read(history), model.codeset._query())
    scale = model.backbone.head_scale
    found = torch.zeros(len(history), len(model.catalog))
    for user, written in enumerate(states):
        for item, codes in enumerate(model.codes):
            for slot, (state, code) in enumerate(zip(written, codes.tolist(), strict=True)):
                book, place = (model.codeset.books[0], slot) if slot < 2 else (model.codeset.books[1], slot - 2)
                logits = scale * book.embeddings[place] @ state
                told = logits.log_softmax(0)[code] if code < len(logits) else -math.log(len(logits))
                found[user, item] += (1 - beta) * told / 2 if slot < 2 else beta * told / 3
    return found


def test_scores_are_weighted_means_of_log_probabilities(model: Model) -> None:
    everything = torch.ones(1, 12, dtype=torch.bool)
    each = model.rank_each(HISTORY, 12, everything)

    assert tuple(each) == tuple(round(0.1 * n, 1) for n in range(1, 11))
    for beta in (0.2, 1.0):
        torch.testing.assert_close(by_item(each[beta])[0], slowly(model, HISTORY, beta), atol=1e-4, rtol=1e-5)
    model.codeset.choose(0.2)
    torch.testing.assert_close(by_item(model.rank(HISTORY)), by_item(each[0.2]), atol=1e-5, rtol=1e-5)


def test_cold_items_have_no_collaborative_codes(model: Model) -> None:
    assert (model.codes[COLD, :2] == 2).all()
    assert (model.codes[[item for item in range(12) if item not in COLD], :2] < 2).all()
    # Read as the mean of what there is.
    tokens = model.codeset.embed(torch.tensor([[4]])).embeds[0]
    torch.testing.assert_close(tokens[:2], model.codeset.books[0].embeddings.mean(1))
    assert model.codeset.describe(4).startswith("a set of no collaborative codes and the semantic codes ")


def test_the_loss_is_the_mean_over_the_codes_that_the_target_has(model: Model) -> None:
    cf, semantic = slowly(model, HISTORY, 0.0), slowly(model, HISTORY, 1.0)
    users = torch.arange(3)
    warm = -(2 * cf + 3 * semantic)[users, TARGET] / 5
    torch.testing.assert_close(model.losses(HISTORY, TARGET)["loss"], warm.mean(), atol=1e-4, rtol=1e-5)
    cold = torch.tensor([4, 8, 0])
    expected = torch.cat([-semantic[:1, 4], warm[1:]])
    torch.testing.assert_close(model.losses(HISTORY, cold)["loss"], expected.mean(), atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_the_order_of_the_codes_moves_nothing(model: Model) -> None:
    before = by_item(model.rank(HISTORY))
    order = torch.tensor([2, 0, 1])
    semantic = model.codeset.books[1]
    for parameter in (semantic.embeddings, semantic.queries):
        parameter.copy_(parameter[order].clone())
    model.codeset.codes = torch.cat([model.codes[:, :2], model.codes[:, 2:][:, order]], 1)

    torch.testing.assert_close(by_item(model.rank(HISTORY)), before, atol=1e-4, rtol=0)


def test_items_with_the_same_codes_stand_in_the_order_of_their_rows(model: Model) -> None:
    model.codeset.codes = model.codes[:1].expand(12, -1).contiguous()

    assert model.rank(HISTORY).items[0].tolist() == [list(range(12))] * 3


def test_new_items_need_no_training(model: Model) -> None:
    before = model.codes
    model.add(pl.DataFrame({"item": ["new"], "title": ["red train number 2"]}))

    torch.testing.assert_close(model.codes[:12], before)
    assert model.codes[12].tolist() == [2, 2, *model.assets.codes(TEXT)[12].tolist()]
    assert (by_item(model.rank(HISTORY))[0, :, 12] > -torch.inf).all()


def test_parameters_do_not_grow_with_the_catalogue(model: Model) -> None:
    assert {name for name, p in model.codeset.named_parameters() if 12 in p.shape} == set()


def test_the_rest_is_read_through_a_map_that_begins_as_nothing(dataset: Dataset, tmp_path: Path) -> None:
    plain, model = Model(dataset, tmp_path), Model(dataset, tmp_path, residual=True)
    assert torch.equal(plain.codeset.embed(HISTORY).embeds, model.codeset.embed(HISTORY).embeds)

    cf, text = model.codeset.books
    with torch.no_grad():
        for book in (cf, text):
            torch.nn.init.normal_(book.projection)
    tokens = model.codeset.embed(torch.tensor([[1], [4]])).embeds
    points = (model.assets.text - text.mean) @ text.axes.T
    width = text.centres.shape[2]
    for row, item in enumerate((1, 4)):
        for slot in range(3):
            code = model.codes[item, 2 + slot]
            rest = points[item, slot * width : (slot + 1) * width] - text.centres[slot, code]
            expected = text.embeddings[slot, code] + rest @ text.projection[slot]
            torch.testing.assert_close(tokens[row, 2 + slot], expected)
    # Nothing is known of a cold item that could be left unsaid.
    torch.testing.assert_close(tokens[1, :2], cf.embeddings.mean(1))


def test_one_kind_of_codes_alone(dataset: Dataset, tmp_path: Path) -> None:
    text, cf = Model(dataset, tmp_path, use_cf=False), Model(dataset, tmp_path, use_semantic=False)

    assert text.codes.shape == (12, 3)
    assert cf.codes.shape == (12, 2)
    for model in (text, cf):
        (only,) = model.rank_each(HISTORY, 12, torch.ones(1, 12, dtype=torch.bool)).values()
        torch.testing.assert_close(only.items, model.rank(HISTORY).items)
    # They are told apart by what is left: by nothing, where all are cold.
    assert len(set(cf.rank(HISTORY).items[0, 0].tolist())) == 12


def test_impossible_arguments() -> None:
    with pytest.raises(GenrecError, match="`use_semantic` and `use_cf` are both false"):
        CodeSet(use_semantic=False, use_cf=False)
    with pytest.raises(GenrecError, match="betas between 0 and 1"):
        CodeSet(betas=[2])
    assert CodeSet(replace(TEXT, digits=5)).lengths == [4, 5]

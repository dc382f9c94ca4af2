"""SETRec over catalogues whose tokens are never all there at once: the same losses, gradients and rankings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from genrec import devices
from genrec.losses import Negatives
from genrec.testing import TinyModel, tiny_assets, tiny_backbone, tiny_dataset
from genrec.types import PAD
from genrec_baselines import E4SRec

from .test_setrec import ITEMS, Model

HISTORY, TARGET = torch.tensor([[1, 2, 1], [PAD, 3, 7], [PAD, PAD, PAD]]), torch.tensor([4, 5, 4])


def large(monkeypatch: pytest.MonkeyPatch, held: int = 64) -> None:
    """Let a catalogue of twelve items be too large, and four of them as many as are looked at together."""
    monkeypatch.setattr(devices, "WHOLE", 0)
    monkeypatch.setattr(devices, "CACHED", held)


def double(negatives: Negatives | None = None, **options: Any) -> Model:
    model = Model(negatives=negatives, **options)
    for module in (model.backbone, model.identifier, model.prompt):
        module.double()
    model.assets = SimpleNamespace(text=model.assets.text.double(), cf=model.assets.cf.double(), built=model.built)
    model.identifier.index(model.catalog, model.assets)
    return model


def learned(model: Model) -> dict[str, Tensor]:
    return {
        name: parameter
        for part in (model.identifier, model.backbone)
        for name, parameter in part.named_parameters()
        if parameter.requires_grad
    }


def gradients(model: Model, loss: Tensor) -> dict[str, Tensor]:
    of = learned(model)
    found = torch.autograd.grad(loss, list(of.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(of, found, strict=True))


@pytest.mark.parametrize("exact", [True, False], ids=["exact sizes", "bounds"])
@pytest.mark.parametrize(
    "options", [{}, {"n_semantic": 0}, {"use_cf": False}, {"standardize_text": True, "n_semantic": 1}], ids=str
)
def test_in_parts_is_the_same_loss_with_the_same_gradients(
    options: dict[str, Any], exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "exact_sizes", lambda device: exact)
    model = double(**options)
    dense = model.losses(HISTORY, TARGET)
    expected = gradients(model, dense["loss"])
    large(monkeypatch)
    model.identifier.index(model.catalog, model.assets)
    found = model.losses(HISTORY, TARGET)
    torch.testing.assert_close(found, dense, rtol=1e-10, atol=0)
    torch.testing.assert_close(gradients(model, found["loss"]), expected, rtol=1e-8, atol=1e-10)


def test_a_head_in_parts_is_the_same_loss_with_the_same_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = tiny_dataset()
    model = TinyModel(E4SRec(), tiny_backbone("t5").double(), dataset, tiny_assets(dataset, tmp_path))
    model.identifier.double()
    found = []
    for held in (2**22, 16):
        monkeypatch.setattr(devices, "CACHED", held)
        loss = model.losses(HISTORY, TARGET)["loss"]
        found.append((loss, torch.autograd.grad(loss, model.learned(), allow_unused=True, materialize_grads=True)))
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("negatives", [None, Negatives("uniform", 3000)], ids=["all", "drawn"])
def test_sixteen_bits_change_little(negatives: Negatives | None, monkeypatch: pytest.MonkeyPatch) -> None:
    dense = Model()
    full = dense.losses(HISTORY, TARGET)["loss"]
    expected = gradients(dense, full)
    large(monkeypatch)
    model = Model(negatives=negatives)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.losses(HISTORY, TARGET)["loss"]
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, full, rtol=0.02, atol=0)
    for name, found in gradients(model, loss).items():
        assert (found - expected[name]).norm() <= 0.1 * expected[name].norm() + 1e-3, name


@pytest.mark.parametrize("options", [{}, {"n_semantic": 0}, {"use_cf": False}], ids=str)
def test_a_large_catalogue_is_ranked_by_the_same_scores(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = double(**options)
    allowed = torch.ones(2, ITEMS, dtype=torch.bool)
    allowed[1, ::2] = False
    found = []
    for _ in range(2):
        with torch.no_grad():
            memory = model.backbone.read(model.prompt(model.backbone, model.identifier.embed(HISTORY)))
            context = model.prompt(model.backbone, model.identifier.embed(HISTORY))
            loss = model.identifier.loss(model.backbone, context, HISTORY, TARGET)
            rankings = model.identifier.rank_each(model.backbone, memory, 4, allowed)
            users = model.identifier.user_vectors(model.backbone, memory)
            found.append((loss, rankings, users @ model.identifier.item_vectors().T))
        large(monkeypatch)
        model.identifier.index(model.catalog, model.assets)
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)
    assert model.identifier.item_vectors().shape[1] < 5 * 32


def test_neither_tokens_nor_logits_of_all_items_are_kept_for_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    items = 4001
    kept: list[set[tuple[int, ...]]] = []
    for whole in (2**22, 0):
        monkeypatch.setattr(devices, "WHOLE", whole)
        monkeypatch.setattr(devices, "CACHED", 2**14)
        model = Model(items=items)
        kept.append(set())
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: _noted(kept[-1], tensor), lambda tensor: tensor):
            model.losses(HISTORY, TARGET)["loss"].backward()
    assert [any(items in shape for shape in shapes) for shapes in kept] == [True, False]


def _noted(shapes: set[tuple[int, ...]], tensor: Tensor) -> Tensor:
    shapes.add(tuple(tensor.shape))
    return tensor

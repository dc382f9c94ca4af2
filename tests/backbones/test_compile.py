"""A compiled model computes what it did, at lengths of which there are few."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from genrec.backbones import Backbone
from genrec.testing import tiny_backbone

from .test_syncs import CASES, contexts
from .tokens import random_tokens


def trained(backbone: Backbone, packed: bool) -> list[Tensor]:
    """States and gradients of a step."""
    states = backbone(contexts(backbone, packed), random_tokens(1, 3, seed=1))
    (states * torch.randn(states.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    return [states.detach(), *(p.grad for p in backbone.parameters() if p.grad is not None)]


@pytest.mark.parametrize(("kind", "packed"), CASES)
def test_compiled_layers_give_the_same_states_and_gradients(
    kind: str, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What PyTorch makes of a graph is its own affair, and takes minutes; that there is a graph is ours.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    plain, compiled = (tiny_backbone(kind, compile=option) for option in (False, True))
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for found, expected in zip(trained(compiled, packed), trained(plain, packed), strict=True):
        torch.testing.assert_close(found / expected.abs().max(), expected / expected.abs().max(), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_compiled_layers_take_flex_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    plain, compiled = tiny_backbone("causal"), tiny_backbone("causal", compile=True, attention="flex")
    query = random_tokens(1, 3, seed=1)
    found = compiled(contexts(compiled, packed=True), query)
    torch.testing.assert_close(found, plain(contexts(plain, packed=True), query), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kind", "packed"), CASES)
@torch.no_grad()
def test_padding_to_a_multiple_changes_nothing(kind: str, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone(kind)
    query = random_tokens(1, 3, seed=1)
    expected = backbone(contexts(backbone, packed), query)
    lengths: list[int] = []
    stack = backbone.t5.encoder if kind == "t5" else backbone.model  # type: ignore[union-attr]
    stack.register_forward_pre_hook(  # type: ignore[operator, union-attr]
        lambda _, args, kwargs: lengths.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    for multiple in (1, 32):
        monkeypatch.setattr(backbone, "multiple", multiple)
        torch.testing.assert_close(backbone(contexts(backbone, packed), query), expected, atol=1e-5, rtol=1e-5)
    assert lengths[0] % 32
    assert lengths[1] % 32 == 0

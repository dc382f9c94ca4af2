"""A training step of a language model never asks its device for a number."""

from __future__ import annotations

import pytest
import torch

from genrec import types
from genrec.backbones import Backbone
from genrec.recommenders.prompts import Prompt
from genrec.testing import Syncs, tiny_backbone
from genrec.types import Packed, Tokens

from .tokens import random_tokens


def history() -> Tokens:
    """Four items of three tokens; the first user lacks two, so that padding can be left out."""
    mask = torch.ones(2, 12, dtype=torch.bool)
    mask[0, :6] = False
    mask[1, :3] = False
    return Tokens(random_tokens(2, 12).embeds, mask, torch.arange(4).repeat_interleave(3).expand(2, -1))


def contexts(backbone: Backbone, packed: bool) -> Tokens | Packed:
    prompt = Prompt()
    prompt.setup(backbone)
    if not packed:
        return prompt(backbone, history())
    return prompt.packed(backbone, history(), torch.tensor([0, 0, 1]), torch.tensor([6, 9, 12]), most=5)


CASES = [("t5", False), ("causal", False), ("causal", True)]


@pytest.mark.parametrize(("kind", "packed"), CASES)
def test_a_training_step_never_waits(kind: str, packed: bool) -> None:
    backbone = tiny_backbone(kind, **({"tuning": "lora"} if packed else {})).train()
    query = Tokens.one_set(random_tokens(1, 3, seed=1).embeds.requires_grad_())
    with Syncs() as syncs:
        backbone(contexts(backbone, packed), query).sum().backward()
    assert not syncs.counts, syncs.places


@pytest.mark.parametrize(("kind", "packed"), CASES)
@torch.no_grad()
def test_what_a_gpu_does_not_ask_for_changes_nothing(kind: str, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone(kind)
    query = Tokens.one_set(random_tokens(1, 3, seed=1).embeds)
    expected = backbone(contexts(backbone, packed), query)
    monkeypatch.setattr(types, "columns", lambda mask: mask.shape[1])
    whole = contexts(backbone, packed)
    assert (whole.trunk if isinstance(whole, Packed) else whole).mask.shape[1] >= 12
    torch.testing.assert_close(backbone(whole, query), expected, atol=1e-5, rtol=1e-5)

"""FlexAttention against the dense masks; on a CPU forward only, and not compiled."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from genrec.backbones import Backbone
from genrec.backbones.attention import Sight, flex, uses_flex
from genrec.testing import tiny_backbone
from genrec.types import Packed, Tokens

from ..tokens import random_tokens, with_padding

KINDS = [
    ("t5", {}),
    ("t5", {"positions": "raw", "query_mask": "additive"}),
    ("causal", {}),
    ("causal", {"family": "llama"}),
]


def pair(kind: str, options: dict[str, Any]) -> tuple[Backbone, Backbone]:
    """The same weights behind a dense mask and behind FlexAttention."""
    dense, flex = (tiny_backbone(kind, attention=attention, **options) for attention in ("dense", "flex"))
    flex.load_state_dict(dense.state_dict())
    return dense, flex


def prompt(users: int) -> Tokens:
    """A word, padding, three items of three tokens and two words; the first user lacks the first item."""
    sets = torch.arange(3).repeat_interleave(3).expand(users, -1)
    mask = torch.ones(users, 9, dtype=torch.bool)
    mask[0, :3] = False
    items = Tokens(random_tokens(users, 9, seed=3).embeds, mask, sets)
    return Tokens.concat(with_padding(random_tokens(users, 1), 2, at=1), items, random_tokens(users, 2, seed=4))


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize(("kind", "options"), KINDS)
@torch.no_grad()
def test_flex_attention_gives_what_a_dense_mask_gives(kind: str, options: dict[str, Any]) -> None:
    dense, flex = pair(kind, options)
    context, blind = prompt(2), Tokens.one_set(random_tokens(1, 3, seed=1).embeds)
    for given, query in ((context, blind), (context.seeing(), blind.seeing()), (random_tokens(2, 6), blind)):
        torch.testing.assert_close(flex(given, query), dense(given, query), atol=1e-5, rtol=1e-5)
        found, expected = (model.write(model.read(given), query) for model in (flex, dense))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_keys_that_any_number_of_heads_share() -> None:
    sight = Sight.backwards(prompt(2))
    length = sight.real.shape[1]
    for heads in (2, 4, 6):
        query, key, value = (torch.randn(2, count, length, 8) for count in (heads, 2, 2))
        found = flex.attend(query, key, value, flex.block_mask(sight), None, None)
        keys, values = (part.repeat_interleave(heads // 2, 1) for part in (key, value))
        expected = F.scaled_dot_product_attention(query, keys, values, attn_mask=sight.dense()[:, None])
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@torch.no_grad()
def test_flex_attention_of_branches() -> None:
    dense, flex = pair("causal", {})
    # Three branches of the first user and one of the second, whose other slots are empty.
    users, cuts = torch.tensor([0, 0, 0, 1]), torch.tensor([6, 9, 14, 14])
    packed = Packed(prompt(2), random_tokens(1, 2, seed=8), users, cuts, slots=4)
    blind = Tokens.one_set(random_tokens(1, 3, seed=1).embeds)
    for query in (blind, blind.seeing(), random_tokens(4, 3, seed=1)):
        torch.testing.assert_close(flex(packed, query), dense(packed, query), atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("kind", ["t5", "causal"])
@torch.no_grad()
def test_flex_attention_under_autocast(kind: str) -> None:
    dense, flex = pair(kind, {})
    query = Tokens.one_set(random_tokens(1, 3, seed=1).embeds)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = flex(prompt(2), query).float(), dense(prompt(2), query).float()
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_who_decides() -> None:
    host, card = torch.empty(0), SimpleNamespace(device=torch.device("cuda"))
    assert not uses_flex("auto", host, 64, 0)
    assert uses_flex("flex", host, 64, 0.1)
    assert not uses_flex("dense", card, 64, 0)  # type: ignore[arg-type]
    assert uses_flex("auto", card, 64, 0)  # type: ignore[arg-type]
    with torch.inference_mode():
        assert not uses_flex("auto", card, 64, 0), "a ranking is over before it is compiled"  # type: ignore[arg-type]
    assert not uses_flex("auto", card, 8, 0), "no kernel for so narrow a head"  # type: ignore[arg-type]
    assert not uses_flex("auto", card, 64, 0.1), "FlexAttention has no dropout"  # type: ignore[arg-type]


def test_a_sequence_without_padding_and_sets_needs_no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("causal")
    masks: list[object] = []
    run = backbone._run  # type: ignore[attr-defined]
    monkeypatch.setattr(backbone, "_run", lambda embeds, mask, *rest: masks.append(mask) or run(embeds, mask, *rest))
    ordered, padded = random_tokens(2, 5), with_padding(random_tokens(2, 5), 1, at=0)
    found = [backbone(context, random_tokens(2, 2, seed=1)) for context in (ordered, padded)]
    assert masks[0] is None
    assert masks[1] is not None
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)

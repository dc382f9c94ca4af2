"""Trees of beams: that dead columns are forgotten changes no state, and keeps the tree small."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec.backbones.attention import tree as trees
from genrec.backbones.attention.tree import Tree
from genrec.testing import tiny_backbone
from genrec.types import Tokens

from ..tokens import random_tokens, with_padding

BACKBONES = {kind: tiny_backbone(kind) for kind in ("t5", "causal")}
NEVER, ALWAYS, USUALLY = 0.0, 1.0, trees.CROWDED


def memory_of(kind: str, users: int) -> Any:
    """Prompts of which the first has padding on its left."""
    context = with_padding(random_tokens(users, 4), 2, at=1)
    context.mask[0, 0] = False
    return BACKBONES[kind].read(context)


def columns_of(tree: Any) -> int:
    """How many keys a layer holds behind the prompt."""
    keys = tree.cache.keys[0] if hasattr(tree.cache, "keys") else tree.cache.self_attention_cache.layers[0].keys
    return int(keys.shape[2])


@torch.no_grad()
def grow(tree: Tree, parents: list[Tensor]) -> list[Tensor]:
    """The states of every generation [B, n, D]: one token, and those after it."""
    states = [tree.write(random_tokens(tree.users, 1).embeds)]
    for depth, above in enumerate(parents, 1):
        states.append(tree.write(random_tokens(tree.users, above.shape[1], seed=depth).embeds, above))
    return states


def random_parents(users: int, sizes: list[int], seed: int) -> list[Tensor]:
    """Of generations after a single token; every user has a number of parents of his own that live on."""
    generator = torch.Generator().manual_seed(seed)
    parents = []
    for before, count in zip([1, *sizes], sizes, strict=False):
        living = 1 + torch.randint(before, (users, 1), generator=generator)
        parents.append(torch.randint(1000, (users, count), generator=generator) % living)
    return parents


@settings(max_examples=30)
@given(
    st.sampled_from(["t5", "causal"]),
    st.integers(1, 4),
    st.lists(st.integers(1, 7), min_size=1, max_size=9),
    st.integers(0, 1000),
)
def test_what_is_forgotten_changes_no_state(kind: str, users: int, sizes: list[int], seed: int) -> None:
    memory, parents = memory_of(kind, users), random_parents(users, sizes, seed)
    with pytest.MonkeyPatch.context() as patch:
        grown = []
        for crowded in (NEVER, ALWAYS, USUALLY):
            patch.setattr(trees, "CROWDED", crowded)
            grown.append(grow(BACKBONES[kind].tree(memory), parents))
    for found in grown[1:]:
        for states, expected in zip(found, grown[0], strict=True):
            torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["t5", "causal"])
@torch.no_grad()
def test_a_user_with_a_narrow_family_beside_one_with_a_wide_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "CROWDED", ALWAYS)
    memory = memory_of(kind, 2)
    # All of the first user's beams follow one; the second's go on side by side.
    narrow, wide = torch.zeros(1, 5, dtype=torch.long), torch.arange(5)[None]
    parents = [torch.zeros(2, 5, dtype=torch.long), *[torch.cat([narrow, wide])] * 6]
    tree = BACKBONES[kind].tree(memory)
    last = grow(tree, parents)[-1]
    for beam in range(5):
        for user, path in enumerate([[0] * 6 + [beam], [beam] * 7]):
            written = [random_tokens(2, 1, seed=0).embeds[user]]
            written += [random_tokens(2, 5, seed=1 + n).embeds[user, at][None] for n, at in enumerate(path)]
            query = Tokens.ordered(torch.cat(written)[None].expand(2, -1, -1))
            alone = BACKBONES[kind].write(memory, query)
            torch.testing.assert_close(last[user, beam], alone[user, -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["t5", "causal"])
def test_a_long_chain_stays_narrow(kind: str) -> None:
    width, depth = 20, 40
    tree = BACKBONES[kind].tree(memory_of(kind, 2))
    grow(tree, [torch.zeros(2, width, dtype=torch.long)] * depth)
    # One token of every generation has descendants: `depth` columns live, and `width` are new.
    assert columns_of(tree) <= depth / USUALLY + width
    assert 1 + width * depth > 10 * columns_of(tree)


@pytest.mark.parametrize("kind", ["t5", "causal"])
def test_while_all_live_nothing_is_moved(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = BACKBONES[kind].tree(memory_of(kind, 2))
    monkeypatch.setattr(tree, "_keep", lambda columns: pytest.fail(f"moved {columns}"))
    grow(tree, [torch.zeros(2, 3, dtype=torch.long), *[torch.arange(3).expand(2, -1)] * 4])
    assert columns_of(tree) == 1 + 3 * 5

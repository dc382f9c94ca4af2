"""Sets of tokens in a prompt, among packed prompts, as a query and in a tree: on both models, by every kind of mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec.backbones import Backbone
from genrec.backbones.attention import masks
from genrec.testing import tiny_backbone
from genrec.types import ORDERED, SEEING, Packed, Tokens

from .tokens import random_tokens, with_padding

BACKBONES = {
    "t5": tiny_backbone("t5"),
    "t5 flex": tiny_backbone("t5", attention="flex"),
    "causal": tiny_backbone("causal"),
    "causal flex": tiny_backbone("causal", attention="flex"),
}
SIZE = 3
"""Tokens of a set."""

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


def history(seeing: bool, order: list[int], change: float = 0.0) -> Tokens:
    """A word, two sets and two words, one with padding; the first set in an order, and one of its members changed."""
    embeds = random_tokens(2, 2 * SIZE, seed=3).embeds.clone()
    embeds[:, 1] += change
    embeds[:, :SIZE] = embeds[:, order]
    items = Tokens.ordered(embeds)
    sets = torch.arange(2).repeat_interleave(SIZE).expand(2, -1)
    items = Tokens(items.embeds, items.mask, sets)
    words = with_padding(random_tokens(2, 1), 1, at=0), random_tokens(2, 2, seed=4)
    return Tokens.concat(words[0], items.seeing() if seeing else items, words[1])


def query(seeing: bool, order: list[int], change: float = 0.0) -> Tokens:
    """A set to be written."""
    embeds = random_tokens(2, SIZE, seed=5).embeds.clone()
    embeds[:, 1] += change
    made = Tokens.one_set(embeds[:, order])
    return made.seeing() if seeing else made


def packed(seeing: bool) -> Packed:
    """Two prompts of the first user and one of the second; the first ends between the two sets."""
    users, cuts = torch.tensor([0, 0, 1]), torch.tensor([2 + SIZE, 2 + 2 * SIZE, 2 + 2 * SIZE])
    return Packed(history(seeing, [0, 1, 2]), random_tokens(1, 1, seed=8), users, cuts, slots=2)


Writes = Callable[[Backbone, Tokens, bool], Tensor]
WRITES: dict[str, Writes] = {
    "in one pass": lambda model, tokens, seeing: model(history(seeing, [0, 1, 2]), tokens),
    "after a reading": lambda model, tokens, seeing: model.write(model.read(history(seeing, [0, 1, 2])), tokens),
    "in a tree": lambda model, tokens, seeing: model.write(
        model.read(history(seeing, [0, 1, 2])), tokens, torch.full((1, SIZE), -1)
    ),
}


@settings(max_examples=20)
@given(st.sampled_from(["t5", "causal"]), st.booleans(), st.permutations(range(SIZE)))
@torch.no_grad()
def test_the_order_of_members_moves_nothing(kind: str, seeing: bool, order: list[int]) -> None:
    model = BACKBONES[kind]
    first = [0, 1, 2]
    found, expected = (model(history(seeing, each), query(seeing, first)) for each in (order, first))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    for write in WRITES.values():
        found, expected = (write(model, query(seeing, each), seeing) for each in (order, first))
        torch.testing.assert_close(found, expected[:, order], atol=1e-5, rtol=0)


@pytest.mark.parametrize("seeing", [True, False])
@pytest.mark.parametrize("way", WRITES)
@pytest.mark.parametrize("kind", BACKBONES)
@torch.no_grad()
def test_members_of_a_query_move_each_other_if_they_see(kind: str, way: str, seeing: bool) -> None:
    states = [WRITES[way](BACKBONES[kind], query(seeing, [0, 1, 2], change), seeing) for change in (0.0, 1.0)]
    moved = (states[1] - states[0]).abs().amax((0, 2))
    assert moved[1] > 1e-2
    assert (moved[[0, 2]] > 1e-3).tolist() == [seeing] * 2
    assert seeing or (moved[[0, 2]] < 1e-6).all()


@pytest.mark.parametrize("kind", BACKBONES)
@torch.no_grad()
def test_members_of_a_history_move_each_other_if_they_see(kind: str) -> None:
    """A model of one layer, in which nobody else can carry the news."""
    one = {"num_layers": 1} if "t5" in kind else {"num_hidden_layers": 1}
    sizes = {**(BACKBONES[kind].sizes), **one}  # type: ignore[dict-item]
    model: Any = tiny_backbone(kind.split()[0], sizes=sizes, attention="flex" if "flex" in kind else "dense")
    for seeing in (True, False):
        if "t5" in kind:
            states = [model.read(history(seeing, [0, 1, 2], change)).states for change in (0.0, 1.0)]
        else:
            contexts = (history(seeing, [0, 1, 2], change) for change in (0.0, 1.0))
            states = [model._run(context.embeds, *model._see(context)) for context in contexts]
        moved = (states[1] - states[0]).abs().amax((0, 2))
        assert (moved[[2, 4]] > 1e-3).tolist() == [seeing] * 2, "its sisters"
        assert moved[3] > 1e-3
        assert (moved[5:] > 1e-3).all(), "what follows sees it"


@pytest.mark.parametrize("seeing", [True, False])
@pytest.mark.parametrize("kind", ["causal", "causal flex"])
@torch.no_grad()
def test_packed_prompts_give_what_separate_ones_give(kind: str, seeing: bool) -> None:
    model, prompts, tokens = BACKBONES[kind], packed(seeing), query(seeing, [0, 1, 2])
    tokens = Tokens(tokens.embeds[:1], tokens.mask[:1], tokens.sets[:1])
    found = model(prompts, tokens)
    for row, (user, cut) in enumerate(zip(prompts.users.tolist(), prompts.cuts.tolist(), strict=True)):
        trunk = Tokens(*(part[user : user + 1, :cut] for part in vars(prompts.trunk).values()))
        alone = model(Tokens.concat(trunk, prompts.suffix), tokens)
        torch.testing.assert_close(found[row : row + 1], alone, atol=1e-5, rtol=0)


# Trees


@pytest.mark.parametrize("kind", ["t5", "causal"])
@torch.no_grad()
def test_sets_side_by_side_are_written_as_each_alone(kind: str) -> None:
    """Beams that are sets, with one row of parents for all users."""
    model, beams = BACKBONES[kind], 4
    memory = model.read(history(True, [0, 1, 2]))
    embeds = random_tokens(2, beams * SIZE, seed=9).embeds
    sets = SEEING - torch.arange(beams).repeat_interleave(SIZE).expand(2, -1)
    together = Tokens(embeds, torch.ones_like(sets, dtype=torch.bool), sets)
    found = model.write(memory, together, torch.full((1, beams * SIZE), -1))
    for beam in range(beams):
        alone = slice(beam * SIZE, (beam + 1) * SIZE)
        expected = model.write(memory, Tokens.one_set(embeds[:, alone]).seeing())
        torch.testing.assert_close(found[:, alone], expected, atol=1e-5, rtol=0)


def slow_sight(parents: list[int], real: list[bool], sets: list[int]) -> tuple[list[set[int]], list[int]]:
    """Who each token sees, and where it stands, by walking up."""
    seen, places = [], []
    for token in range(len(parents)):
        line = [token]
        while parents[line[-1]] >= 0:
            line.append(parents[line[-1]])
        living = {each for each in line if real[each]}
        places.append(max(0, len(living) - 1))
        sisters = {k for k in range(len(parents)) if real[k] and sets[k] == sets[token] and sets[k] <= SEEING}
        seen.append(living | sisters | {token})
    return seen, places


@given(st.data(), st.integers(1, 10), st.booleans(), st.booleans())
def test_a_tree_with_padding_and_sets(data: st.DataObject, count: int, one_tree: bool, one_query: bool) -> None:
    def rows(values: Callable[[int], st.SearchStrategy[Any]], single: bool) -> list[list[Any]]:
        return [[data.draw(values(token)) for token in range(count)] for _ in range(1 if single else 2)]

    parents = rows(lambda token: st.integers(-1, token - 1), one_tree)
    real = rows(lambda token: st.booleans(), one_query)
    sets = rows(lambda token: st.sampled_from([ORDERED, 0, SEEING, SEEING - 1]), one_query)
    tokens = Tokens(torch.zeros(len(real), count, 1), torch.tensor(real), torch.tensor(sets))
    seen, places = masks.tree_sight(tokens, torch.tensor(parents))
    for user in range(len(seen)):
        tree, at = parents[-1 if one_tree else user], -1 if one_query else user
        expected, where = slow_sight(tree, real[at], sets[at])
        assert [set(row.nonzero().flatten().tolist()) for row in seen[user]] == expected
        assert places[-1 if len(places) == 1 else user].tolist() == where


@pytest.mark.parametrize("kind", ["t5", "causal"])
@torch.no_grad()
def test_padding_inside_a_tree_is_inert(kind: str) -> None:
    model = BACKBONES[kind]
    memory = model.read(history(False, [0, 1, 2]))
    tokens = random_tokens(2, 4, seed=9)
    expected = model.write(memory, tokens, torch.tensor([[-1, 0, 0, 1]]))
    # The same tree, with padding as a root, between a token and its child, and as a leaf.
    padded = with_padding(with_padding(with_padding(tokens, 1, at=4), 1, at=1), 1, at=0)
    parents = torch.tensor([[-1, 0, 1, 2, 1, 3, 3]])
    found = model.write(memory, padded, parents)
    torch.testing.assert_close(found[:, [1, 3, 4, 5]], expected, atol=1e-5, rtol=0)


# Rows of a memory


@pytest.mark.parametrize("kind", ["t5", "causal"])
@torch.no_grad()
def test_rows_of_a_memory_are_chosen_and_repeated(kind: str) -> None:
    model, rows = BACKBONES[kind], torch.tensor([1, 0, 1, 1])
    context = history(False, [0, 1, 2])
    tokens = random_tokens(4, 2, seed=9)
    found = model.write(model.read(context).select(rows), tokens)
    again = Tokens(context.embeds[rows], context.mask[rows], context.sets[rows])
    torch.testing.assert_close(found, model.write(model.read(again), tokens), atol=1e-5, rtol=0)

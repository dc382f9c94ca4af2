"""The one rule of who sees whom, against its definition in words."""

from __future__ import annotations

import torch
from hypothesis import given

from genrec.backbones.attention import Branches, Sight, pattern
from genrec.types import ORDERED, Tokens

from ..runs import sequences, slow_positions


@given(sequences())
def test_visibility_equals_the_definition(tokens: Tokens) -> None:
    mask, sets = tokens.mask[0].tolist(), tokens.sets[0].tolist()
    both = Sight.both_ways(tokens).dense()[0]
    before = Sight.backwards(tokens).dense()[0]
    place = slow_positions(mask, sets)
    for i in range(len(mask)):
        for j in range(len(mask)):
            expected = mask[j] and (i == j or sets[i] != sets[j] or not sets[i] >= 0)
            assert both[i, j] == expected
            if mask[i]:
                assert before[i, j] == (expected and place[j] <= place[i])


@given(sequences())
def test_every_decoder_row_sees_something(tokens: Tokens) -> None:
    assert Sight.backwards(tokens).dense().any(2).all()


def test_a_branch_sees_its_part_of_the_trunk_and_itself() -> None:
    # A trunk of three tokens, the last two of one set; two branches of two tokens behind one and three of its columns.
    sets = torch.tensor([[ORDERED, 0, 0, 0, 0, 0, 0]])
    places = torch.tensor([[0, 1, 1, 1, 1, 2, 2]])
    branches = Branches(torch.tensor([[-1, -1, -1, 0, 0, 1, 1]]), torch.tensor([[3, 3, 3, 1, 1, 3, 3]]))
    found = Sight(torch.ones(1, 7, dtype=torch.bool), sets, places, branches).dense()[0]
    picture = ["x......", "xx.....", "x.x....", "x..x...", "x...x..", "xxx..x.", "xxx...x"]
    assert ["".join(".x"[seen] for seen in row) for row in found.tolist()] == picture


def test_plain_sequences_are_known_on_a_cpu() -> None:
    plain = Tokens.ordered(torch.zeros(2, 3, 4))
    assert Sight.backwards(plain).plain()
    assert Sight.backwards(plain).dense()[0].equal(torch.ones(3, 3, dtype=torch.bool).tril())
    assert not Sight.both_ways(plain).plain()
    assert not Sight.backwards(Tokens.one_set(plain.embeds)).plain()
    padded = plain.padded(1)
    assert padded.mask.tolist() == [[False, True, True, True]] * 2
    assert not Sight.backwards(padded).plain()


def test_one_row_serves_all_that_are_alike() -> None:
    tokens = Tokens.ordered(torch.randn(3, 4, 2))
    assert len(pattern(tokens).mask) == 1
    mask = tokens.mask.clone()
    mask[1, 0] = False
    assert len(pattern(Tokens(tokens.embeds, mask, tokens.sets)).mask) == 3
    sets = tokens.sets.clone()
    sets[2] = 0
    assert len(pattern(Tokens(tokens.embeds, tokens.mask, sets)).mask) == 3

from __future__ import annotations

import pytest
import torch

from genrec.backbones import T5Backbone
from genrec.errors import GenrecError
from genrec.recommenders.prompts import TEMPLATE, Prompt
from genrec.types import ORDERED, Tokens

SIZES = {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 4}


def test_the_history_stands_between_the_words() -> None:
    backbone = T5Backbone(sizes=SIZES)
    backbone.setup([TEMPLATE])
    prompt = Prompt()
    prompt.setup(backbone)
    mask = torch.tensor([[False, True, True], [True, True, True]])
    history = Tokens(torch.randn(2, 3, 16), mask, torch.tensor([[0, 1, 1]] * 2))
    whole = prompt(backbone, history)
    before, after = len(prompt.prefix), len(prompt.suffix)
    assert backbone.tokenizer.decode(prompt.prefix).split() == TEMPLATE.split("<history>")[0].split()
    assert backbone.tokenizer.decode(prompt.suffix).replace(" ", "") == "?;"
    assert whole.embeds.shape == (2, before + 3 + after, 16)
    torch.testing.assert_close(whole.embeds[:, before:-after], history.embeds)
    torch.testing.assert_close(whole.embeds[1, :before], backbone.words(prompt.prefix))
    assert whole.mask[0].tolist() == [True] * before + [False, True, True] + [True] * after
    assert whole.sets[0].tolist() == [ORDERED] * before + [0, 1, 1] + [ORDERED] * after


def test_padding_that_all_histories_have_is_left_out() -> None:
    backbone = T5Backbone(sizes=SIZES)
    backbone.setup([TEMPLATE])
    prompt = Prompt()
    prompt.setup(backbone)
    mask = torch.tensor([[False, True, False, True], [True, False, False, False]])
    history = Tokens(torch.randn(2, 4, 16), mask, torch.arange(8).view(2, 4))
    whole, before = prompt(backbone, history), len(prompt.prefix)
    assert whole.mask[:, before : before + 2].tolist() == [[True, True], [False, True]]
    assert whole.sets[:, before : before + 2][whole.mask[:, before : before + 2]].tolist() == [1, 3, 4]
    torch.testing.assert_close(whole.embeds[0, before : before + 2], history.embeds[0, [1, 3]])
    packed = prompt.packed(backbone, history, torch.tensor([0, 0, 1]), torch.tensor([0, 2, 1]), most=2)
    # User 0's first two columns hold one token, user 1's first column holds one, behind one of padding.
    assert (packed.cuts - before).tolist() == [0, 1, 2]


@pytest.mark.parametrize("template", ["no place", "<history> twice <history>"])
def test_a_template_has_one_place_for_the_history(template: str) -> None:
    with pytest.raises(GenrecError, match="exactly once"):
        Prompt(template)

from __future__ import annotations

import pytest
import torch

from genrec.backbones import T5Backbone
from genrec.errors import GenrecError
from genrec.prompts import TEMPLATE, Prompt
from genrec.types import ORDERED, Tokens

SIZES = {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 4}


def test_the_history_stands_between_the_words() -> None:
    backbone = T5Backbone(sizes=SIZES)
    backbone.setup([TEMPLATE])
    prompt = Prompt()
    prompt.setup(backbone)
    history = Tokens(torch.randn(2, 3, 16), torch.tensor([[False, True, True]] * 2), torch.tensor([[0, 1, 1]] * 2))
    whole = prompt(backbone, history)
    before, after = len(prompt.prefix), len(prompt.suffix)
    assert backbone.tokenizer.decode(prompt.prefix).split() == TEMPLATE.split("<history>")[0].split()
    assert backbone.tokenizer.decode(prompt.suffix).replace(" ", "") == "?;"
    assert whole.embeds.shape == (2, before + 3 + after, 16)
    torch.testing.assert_close(whole.embeds[:, before:-after], history.embeds)
    torch.testing.assert_close(whole.embeds[1, :before], backbone.words(prompt.prefix))
    assert whole.mask[0].tolist() == [True] * before + [False, True, True] + [True] * after
    assert whole.sets[0].tolist() == [ORDERED] * before + [0, 1, 1] + [ORDERED] * after


@pytest.mark.parametrize("template", ["no place", "<history> twice <history>"])
def test_a_template_has_one_place_for_the_history(template: str) -> None:
    with pytest.raises(GenrecError, match="exactly once"):
        Prompt(template)

"""What a score is made of: the numbers of the slots that it is a sum of."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from genrec.backbones import Backbone, Memory
from genrec.decoding.code_sums import CodeSums
from genrec.recommenders import RankingModule


@runtime_checkable
class SlotScores(Protocol):
    """An identifier that can say what every token of an item adds to its score."""

    def token_names(self) -> list[str]:
        """What the tokens of an item are called, K of them; none where a score is no sum over them."""

    def token_scores(self, backbone: Backbone, memory: Memory, items: Tensor) -> Tensor:
        """What each adds to the score of items [B, k]: [B, k, K]."""


def slot_names(model: RankingModule) -> list[str] | None:
    """What a score's parts are called; None of a method whose scores have none."""
    identifier = model.identifier
    if isinstance(identifier, SlotScores):
        return identifier.token_names() or None
    if isinstance(identifier, CodeSums):
        return [f"code {number}" for number in range(1, len(identifier.item_codes()[1]) + 1)]
    return None


@torch.inference_mode()
def slot_scores(model: RankingModule, histories: Tensor, items: Tensor) -> Tensor:
    """The parts of scores, of a method that has `slot_names`.

    Args:
        model: ranks.
        histories: [B, T] rows.
        items: [B, k] rows.

    Returns:
        [B, k, m], which sum up to the scores [B, k].
    """
    identifier, backbone, memory = model.identifier, model.backbone, model.read(histories)
    assert backbone is not None
    if isinstance(identifier, SlotScores):
        return identifier.token_scores(backbone, memory, items).float()
    assert isinstance(identifier, CodeSums)
    numbers = identifier.user_scores(backbone, memory)
    codes = identifier.item_codes()[0][items].long().transpose(1, 2)
    return numbers.gather(2, codes).transpose(1, 2).float()

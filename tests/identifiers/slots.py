"""An identifier of unordered codes, as a method of several slots would be written."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from genrec.decoding.code_sums import narrow, top_codes
from genrec.identifiers import ItemIdentifier
from genrec.identifiers.tables import table
from genrec.losses import slot_log_probs, slot_loss
from genrec.types import PAD, Ranking, Tokens


class Slots(ItemIdentifier):
    """An item is m codes, the sides of random planes that its text lies on; in a history their mean is one token."""

    def __init__(self, slots: int = 3, bits: int = 2) -> None:
        super().__init__()
        self.slots, self.bits = slots, bits

    def setup(self, catalog: Any, assets: Any, backbone: Any) -> None:
        generator = torch.Generator().manual_seed(0)
        self.planes = torch.randn(assets.text.shape[1], self.slots * self.bits, generator=generator)
        self.table = nn.Parameter(torch.randn(self.slots, 2**self.bits, backbone.width))
        self.queries = nn.Parameter(torch.randn(self.slots, backbone.width))
        self.index(catalog, assets)

    def index(self, catalog: Any, assets: Any) -> None:
        sides = (assets.text.cpu() @ self.planes > 0).long().unflatten(1, (self.slots, self.bits))
        codes = narrow((sides * 2 ** torch.arange(self.bits)).sum(2), 2**self.bits)
        self.codes = table(codes.to(self.table.device))

    def embed(self, items: Tensor) -> Tokens:
        codes = self.codes[items.clamp(min=0)].long()
        tokens = Tokens.ordered(self.table[torch.arange(self.slots, device=items.device), codes].mean(2))
        return Tokens(tokens.embeds, items != PAD, tokens.sets)

    def loss(self, backbone: Any, context: Any, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        states = backbone(context, Tokens.one_set(self.queries[None]))
        return {"loss": slot_loss(slot_log_probs(states, self.table), self.codes[target].long())}

    def rank(self, backbone: Any, memory: Any, k: int, allowed: Tensor) -> Ranking:
        return top_codes(self.user_scores(backbone, memory), self.codes, allowed, k)

    def item_codes(self) -> tuple[Tensor, list[int]]:
        return self.codes, [2**self.bits] * self.slots

    def user_scores(self, backbone: Any, memory: Any) -> Tensor:
        return slot_log_probs(backbone.write(memory, Tokens.one_set(self.queries[None])), self.table)

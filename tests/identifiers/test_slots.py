"""What methods of unordered slots are put together from: an identifier, and a search that fills codes in any order."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genrec.data import Dataset
from genrec.decoding.any_order import AnyOrder
from genrec.identifiers import ItemIdentifier
from genrec.losses import slot_log_probs, slot_loss
from genrec.testing import HISTORY, TARGET, TinyModel, tiny_assets, tiny_backbone
from genrec.testing.contract import IdentifierContract
from genrec.types import PAD, SEEING, Ranking, Tokens

from .slots import Slots


class TestSlots(IdentifierContract):
    def make(self) -> ItemIdentifier:
        return Slots(slots=3, bits=2)


class Masked(Slots):
    """A masked diffusion over an item's codes: those that are written are read by those that are not yet."""

    beams = 64

    def setup(self, catalog: Any, assets: Any, backbone: Any) -> None:
        self.hidden = nn.Parameter(torch.randn(self.slots, backbone.width))
        super().setup(catalog, assets, backbone)
        self.any_order = AnyOrder(self.codes, 2**self.bits)

    def log_probs(self, backbone: Any, context: Any, partial: Tensor) -> Tensor:
        """[B, W, m, size] for partial assignments [B, W, m] of every user; they do not see each other."""
        slot = torch.arange(self.slots)
        embeds = torch.where((partial == PAD)[..., None], self.hidden, self.table[slot, partial.clamp(min=0)])
        tokens = Tokens.ordered(embeds.flatten(1, 2))
        sets = SEEING - torch.arange(partial.shape[1]).repeat_interleave(self.slots)
        query = Tokens(tokens.embeds, tokens.mask, sets.expand_as(tokens.sets))
        states = backbone.write(context, query, torch.full((1, sets.numel()), -1))
        return slot_log_probs(states.unflatten(1, (-1, self.slots)).flatten(0, 1), self.table).unflatten(
            0, partial.shape[:2]
        )

    def loss(self, backbone: Any, context: Any, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        codes = self.codes[target].long()
        masked = torch.rand(self.slots) < 0.5
        partial = torch.where(masked, PAD, codes)[:, None]
        found = self.log_probs(backbone, backbone.read(context), partial)[:, 0]
        return {"loss": slot_loss(found, codes, masked.expand_as(codes))}

    def rank(self, backbone: Any, memory: Any, k: int, allowed: Tensor) -> Ranking:
        found = [self.search(backbone, memory, k, candidates) for candidates in allowed]
        return Ranking(*(torch.stack(parts) for parts in zip(*found, strict=True)))

    def search(self, backbone: Any, memory: Any, k: int, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """The likeliest codes, each in its best order; all (slot, code) pairs of all beams compete in every step."""
        size, users = 2**self.bits, len(memory.mask)
        partial, scores = torch.full((users, 1, self.slots), PAD), torch.zeros(users, 1)
        for _ in range(self.slots):
            legal = self.any_order.legal(partial.flatten(0, 1), allowed).unflatten(0, partial.shape[:2])
            legal &= (partial == PAD)[..., None] & scores.isfinite()[..., None, None]
            pairs = scores[..., None, None] + self.log_probs(backbone, memory, partial)
            best = pairs.masked_fill(~legal, -torch.inf).flatten(1).sort(descending=True)
            beam, pair = best.indices // (self.slots * size), best.indices % (self.slots * size)
            filled = partial.gather(1, beam[..., None].expand(-1, -1, self.slots))
            filled = filled.scatter(2, (pair // size)[..., None], (pair % size)[..., None])
            # Assignments that two orders lead to stand once, where they are likeliest.
            key = (filled + 1) @ (size + 1) ** torch.arange(self.slots)
            again = (key[:, :, None] == key[:, None, :]).tril(-1).any(2)
            scores = best.values.masked_fill(again, -torch.inf)
            scores, kept = scores.topk(min(self.beams, scores.shape[1]))
            partial = filled.gather(1, kept[..., None].expand(-1, -1, self.slots))
        items = self.any_order.items(partial.flatten(0, 1), len(allowed), allowed).view(users, -1)
        scores = scores.repeat_interleave(len(allowed), 1).masked_fill(items == PAD, -torch.inf)
        scores, places = scores.topk(k)
        return items.gather(1, places), scores


@pytest.mark.parametrize("kind", ["t5", "causal"])
@torch.no_grad()
def test_a_search_in_any_order_finds_what_trying_all_orders_finds(kind: str, dataset: Dataset, tmp_path: Any) -> None:
    identifier = Masked()
    model = TinyModel(identifier, tiny_backbone(kind), dataset, tiny_assets(dataset, tmp_path))
    memory, allowed = model.read(HISTORY), torch.arange(12) % 5 > 0
    ranking = model.rank(HISTORY, int(allowed.sum()), allowed[None])
    for user in range(3):
        alone = memory.select(torch.tensor([user]))
        expected = {}
        for item in allowed.nonzero().flatten().tolist():
            of_orders = []
            for order in permutations(range(identifier.slots)):
                partial, total = torch.full((1, 1, identifier.slots), PAD), 0.0
                for slot in order:
                    code = int(identifier.codes[item, slot])
                    total += float(identifier.log_probs(model.backbone, alone, partial)[0, 0, slot, code])
                    partial[0, 0, slot] = code
                of_orders.append(total)
            expected[item] = max(of_orders)
        items, scores = ranking.items[0, user], ranking.scores[0, user]
        assert sorted(items.tolist()) == list(expected)
        torch.testing.assert_close(scores, torch.tensor([expected[item] for item in items.tolist()]))
    assert ranking.scores.diff(dim=2).le(0).all()


@pytest.mark.parametrize("kind", ["t5", "causal"])
def test_a_masked_target_teaches_the_language_model(kind: str, dataset: Dataset, tmp_path: Any) -> None:
    model = TinyModel(Masked(), tiny_backbone(kind), dataset, tiny_assets(dataset, tmp_path))
    torch.manual_seed(1)
    model.losses(HISTORY, TARGET)["loss"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.backbone.parameters())
    assert all(torch.isfinite(p.grad).all() for p in model.learned() if p.grad is not None)

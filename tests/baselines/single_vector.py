"""Small language models with random weights, and an identifier on one of them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import torch
from hypothesis import strategies as st
from torch import Tensor

from genrec.assets import Assets, ReleasedCF
from genrec.backbones import Backbone
from genrec.data import Dataset
from genrec.identifiers import ItemIdentifier
from genrec.testing import HISTORY, TinyModel, tiny_backbone
from genrec.testing.tiny import by_item
from genrec.types import PAD, Batch, Packed, Prefixes, Tokens

from ..windows import all_prefixes

BATCH = Batch(
    torch.arange(3), torch.tensor([[PAD, 6, 7], [0, 1, 2], [PAD, PAD, 3]]), torch.tensor([8, 3, 4]), torch.empty(3, 0)
)
"""Windows of three users."""


ITEMS = 12
LISTS = st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=6), min_size=1, max_size=4)
"""Histories of a few users."""


def make_lora(folder: Path) -> Backbone:
    """A decoder-only model that was saved before, with adapters that learn."""
    base = tiny_backbone("causal")
    base.model.save_pretrained(folder)  # type: ignore[union-attr, operator]
    base.tokenizer.save_pretrained(folder)
    return tiny_backbone("causal", sizes=None, pretrained=str(folder), tuning="lora")


class Model(TinyModel):
    """An identifier in evaluation mode; there is no text, and no collaborative vectors unless they are asked for."""

    def __init__(
        self, identifier: ItemIdentifier, backbone: Backbone, dataset: Dataset, folder: Path, seed: int = 1
    ) -> None:
        assets = Assets(cf=None if dataset.cf is None else ReleasedCF(), root=str(folder)).bind(dataset)
        super().__init__(identifier, backbone, dataset, assets, seed)
        self.dataset = dataset
        identifier.eval()

    def add_new(self, count: int) -> None:
        """New items behind the others, of which nothing is known."""
        first = len(self.catalog)
        self.add(pl.DataFrame({"item": [f"new{first + n}" for n in range(count)]}))

    def scores(self, history: Tensor) -> Tensor:
        """The scores of all items, by row: [B, N]."""
        return by_item(self.rank(history))[0]

    def prefixes(self, batch: Batch) -> tuple[Packed, Tensor, Tensor]:
        """All prefixes of the windows: their prompts, histories and targets."""
        users, stops, history, target = all_prefixes(batch)
        return self.packed(batch.history, Prefixes(users, stops)), history, target

    def gradients(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """By name, those that are not zero."""
        parts = {"identifier": self.identifier, "backbone": self.backbone}
        for part in parts.values():
            part.zero_grad()
        losses["loss"].backward()
        named = {f"{part}.{name}": p.grad for part, m in parts.items() for name, p in m.named_parameters()}
        return {name: grad.clone() for name, grad in named.items() if grad is not None and grad.any()}

    def train(self, steps: int, lr: float = 3e-3) -> list[dict[str, float]]:
        """Learn the prefixes of the training lists."""
        lists = torch.tensor([self.dataset.train[user].tolist() for user in range(len(self.dataset.users))])
        batch = Batch(torch.arange(len(lists)), lists[:, :-1], lists[:, -1], torch.empty(len(lists), 0))
        _, _, history, target = all_prefixes(batch, empty_history=False)
        optimizer, seen = torch.optim.AdamW(self.learned(), lr=lr), []
        self.identifier.train()
        for _ in range(steps):
            losses = self.losses(history, target)
            optimizer.zero_grad()
            losses["loss"].backward()
            optimizer.step()
            seen.append({name: float(value.detach()) for name, value in losses.items()})
        self.identifier.eval().index(self.catalog, self.assets)
        return seen


def assert_packed_is_separate(model: Model) -> None:
    """The packed prefixes of `BATCH` have the loss and the gradients of the same prefixes one by one."""
    found = []
    for separate in (False, True):
        context: Tokens | Packed
        context, history, target = model.prefixes(BATCH)
        if separate:
            context = model.context(history)
        torch.manual_seed(2)
        losses = model.identifier.loss(model.backbone, context, history, target)
        found.append((losses, model.gradients(losses)))
    (packed, of_packed), (one_by_one, of_each) = found
    torch.testing.assert_close(packed, one_by_one, atol=1e-5, rtol=1e-5)
    assert of_packed.keys() == of_each.keys()
    for name, gradient in of_packed.items():
        torch.testing.assert_close(gradient, of_each[name], atol=1e-5, rtol=1e-3, msg=lambda said, n=name: n + said)


def assert_one_ordered_token(model: Model) -> None:
    """An item is one token, between the words of the prompt, and padding is none."""
    context = model.context(HISTORY)
    words = len(model.prompt.prefix) + len(model.prompt.suffix)
    assert context.mask.sum(1).tolist() == [words + 3, words + 2, words]
    assert (context.sets == -1).all()


def assert_alone_as_in_a_batch(model: Model, users: list[list[int]], atol: float, rtol: float) -> None:
    """The scores of a user do not depend on who else is in the batch, nor on the padding."""
    longest = max(1, *map(len, users))
    together = model.scores(torch.tensor([[PAD] * (longest - len(items)) + items for items in users]))
    for row, items in enumerate(users):
        alone = model.scores(torch.tensor([items or [PAD]]))
        torch.testing.assert_close(together[row], alone[0], atol=atol, rtol=rtol)

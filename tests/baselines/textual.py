"""An identifier made of words on a tiny language model, with what tests look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from genrec.assets import Assets, TextAsset, TfidfText
from genrec.backbones import Backbone
from genrec.data import Catalog, Dataset, Ragged
from genrec.identifiers import ItemIdentifier
from genrec.testing import TinyModel, tiny_backbone
from genrec.types import Batch, Prefixes

from ..windows import all_prefixes

TEXT = TfidfText(dim=8)


class Textual(TinyModel):
    """An identifier that was set up on a data set.

    Args:
        identifier: what is tested.
        dataset: its items.
        folder: where assets are kept.
        backbone: the language model, or its kind, "t5" or "causal".
        text: the text encoder.
    """

    def __init__(
        self,
        identifier: Any,
        dataset: Dataset,
        folder: Path,
        backbone: Backbone | str = "t5",
        text: TextAsset | None = TEXT,
    ) -> None:
        made = tiny_backbone(backbone) if isinstance(backbone, str) else backbone
        super().__init__(identifier, made, dataset, Assets(text=text, root=str(folder)).bind(dataset), seed=1)

    def loss(self, history: Tensor, target: Tensor) -> Tensor:
        return self.losses(history, target)["loss"]

    def packed_loss(self, batch: Batch) -> Tensor:
        """What the recommender does with windows: every prefix of every history, read once."""
        users, stops, history, target = all_prefixes(batch)
        packed = self.packed(batch.history, Prefixes(users, stops))
        return self.identifier.loss(self.backbone, packed, history, target)["loss"]

    def learn(self, history: Tensor, target: Tensor, steps: int) -> list[float]:
        """Train on one batch; the losses."""
        optimizer = torch.optim.Adam(self.learned(), lr=0.005)
        losses = []
        for _ in range(steps):
            loss = self.loss(history, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses


def shelf(train: list[int] | None = None, **columns: list[Any]) -> Dataset:
    """Items with these columns; the first, or those given, are in the training split."""
    count = len(next(iter(columns.values())))
    items = pl.DataFrame({"item": [f"key{row}" for row in range(count)], **columns}, strict=False)
    once = Ragged.from_lists([[0]])
    return Dataset("shelf", Catalog(items), ["user"], Ragged.from_lists([train or list(range(count))]), once, once)


def same_when_packed(model: Textual, batch: Batch) -> None:
    """Packed prefixes give the loss and gradients of separate ones."""
    _, _, history, target = all_prefixes(batch)
    parameters = [p for p in model.backbone.parameters() if p.requires_grad]
    losses = [model.packed_loss(batch), model.loss(history, target)]
    torch.testing.assert_close(losses[0], losses[1], atol=1e-5, rtol=0)
    together, apart = (torch.autograd.grad(loss, parameters) for loss in losses)
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-3)


def state_of(identifier: ItemIdentifier) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in identifier.state_dict().items()}

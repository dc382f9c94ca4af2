"""Twelve items, eight users and language models of a few thousand numbers: what a test of an identifier stands on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from genrec.assets import Assets, ItemAssets, ReleasedCF, TfidfText
from genrec.backbones import Backbone, CausalBackbone, Memory, T5Backbone
from genrec.data import Catalog, Dataset, Ragged, Texts
from genrec.identifiers import ItemIdentifier
from genrec.recommenders.prompts import TEMPLATE, Prompt
from genrec.types import PAD, Packed, Prefixes, Ranking, Tokens

T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
QWEN = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
}
"""Sizes of a T5 and of a Qwen2 that are made and run in milliseconds."""

HISTORY = torch.tensor([[0, 1, 2], [PAD, 6, 7], [PAD, PAD, PAD]])
TARGET = torch.tensor([3, 8, 0])
"""Three users of `tiny_dataset`, the last of whom has taken nothing yet, and what they take next."""


def tiny_dataset() -> Dataset:
    """Twelve items in two series, ten of them warm; eight users who walk through a series in order.

    The items have titles, categories and, every other one, a brand; there are collaborative embeddings of six numbers.
    """
    catalog = Catalog(
        pl.DataFrame(
            {
                "item": [f"key{item}" for item in range(12)],
                "title": [f"{'red train' if item < 6 else 'blue boat'} number {item % 6}" for item in range(12)],
                "brand": ["Acme" if item % 2 else None for item in range(12)],
                "categories": [["Toys", "Trains" if item < 6 else "Boats"] for item in range(12)],
            }
        )
    )
    starts = [user % 2 * 6 for user in range(8)]
    return Dataset(
        name="twelve",
        catalog=catalog,
        users=Texts(f"user{user}" for user in range(8)),
        train=Ragged.from_lists([[start, start + 1, start + 2, start + 3] for start in starts]),
        validation=Ragged.from_lists([[start + 4] for start in starts]),
        test=Ragged.from_lists([[start + 5] for start in starts]),
        cf=np.random.default_rng(0).standard_normal((12, 6), dtype=np.float32),
    )


def tiny_assets(dataset: Dataset, root: str | Path) -> ItemAssets:
    """Text embeddings of eight numbers, and the data set's own collaborative ones.

    Args:
        dataset: the items.
        root: the folder of the store, where codes and whatever else takes long is kept.
    """
    return Assets(text=TfidfText(dim=8), cf=ReleasedCF(), root=str(root)).bind(dataset)


def tiny_backbone(kind: str, **options: Any) -> Backbone:
    """A language model with random weights, in evaluation mode; nothing is fetched.

    New weights are so small that nothing would depend on anything, so some are drawn again, larger.

    Args:
        kind: ``t5`` or ``causal``.
        options: arguments of `T5Backbone` or `CausalBackbone`, such as other sizes.
    """
    torch.manual_seed(0)
    backbone: Backbone = (
        T5Backbone(**{"sizes": T5, **options}) if kind == "t5" else CausalBackbone(**{"sizes": QWEN, **options})
    )
    backbone.setup([TEMPLATE, "red train", "blue boat"])
    for name, parameter in backbone.named_parameters():
        if "relative_attention_bias" in name:
            nn.init.normal_(parameter)
        elif "proj" in name and "lora" not in name and parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.3)
    return backbone.eval()


class TinyModel:
    """An identifier on a language model, without a trainer: what a `Recommender` does with them, step by step.

    Args:
        identifier: it is set up here, and left in training mode.
        backbone: such as `tiny_backbone` makes.
        dataset: the items.
        assets: of the same items.
        seed: of the identifier's parameters.
    """

    def __init__(
        self, identifier: ItemIdentifier, backbone: Backbone, dataset: Dataset, assets: ItemAssets, seed: int = 0
    ) -> None:
        torch.manual_seed(seed)
        self.identifier, self.backbone = identifier, backbone
        self.catalog, self.assets = dataset.catalog, assets
        self.prompt = Prompt()
        self.prompt.setup(backbone)
        identifier.setup(self.catalog, assets, backbone)

    def add(self, items: pl.DataFrame) -> None:
        """Put new items behind the others, as `Recommender.add_items` does."""
        self.catalog = self.catalog.extend(items)
        self.assets = self.assets.extend(self.catalog)
        self.identifier.index(self.catalog, self.assets)

    def context(self, history: Tensor) -> Tokens:
        """The prompts around histories [B, T]."""
        return self.prompt(self.backbone, self.identifier.embed(history))

    def packed(self, history: Tensor, prefixes: Prefixes) -> Packed:
        """The prompts of beginnings of histories [B, T], which a `CausalBackbone` reads in one pass."""
        tokens, most = self.identifier.embed(history), history.shape[1] + 1
        per_item = tokens.mask.shape[1] // history.shape[1]
        return self.prompt.packed(self.backbone, tokens, prefixes.users, prefixes.stops * per_item, most)

    def losses(self, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The loss and its parts for histories [B, T] and what came next, [B]."""
        return self.identifier.loss(self.backbone, self.context(history), history, target)

    @torch.no_grad()
    def read(self, history: Tensor) -> Memory:
        """The prompts around histories [B, T], read in evaluation mode."""
        self.identifier.eval()
        self.backbone.eval()
        return self.backbone.read(self.context(history))

    @torch.no_grad()
    def rank(self, history: Tensor, k: int | None = None, allowed: Tensor | None = None) -> Ranking:
        """The best items for histories [B, T]; all of them, in one candidate set, where nothing else is said."""
        everything = torch.ones(1, len(self.catalog), dtype=torch.bool)
        allowed = everything if allowed is None else allowed
        return self.identifier.rank(self.backbone, self.read(history), k or int(allowed.sum(1).min()), allowed)

    @torch.no_grad()
    def rank_each(self, history: Tensor, k: int, allowed: Tensor) -> dict[float, Ranking]:
        """`ItemIdentifier.rank_each` for histories [B, T]."""
        return self.identifier.rank_each(self.backbone, self.read(history), k, allowed)

    def learned(self) -> list[nn.Parameter]:
        """What learns, of both."""
        return [p for part in (self.identifier, self.backbone) for p in part.parameters() if p.requires_grad]


def by_item(ranking: Ranking) -> Tensor:
    """The scores of a ranking of all items by their rows, [C, B, N]."""
    return torch.empty_like(ranking.scores).scatter_(2, ranking.items, ranking.scores)

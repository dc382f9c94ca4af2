"""An identifier of new tokens on a tiny language model, with what tests look at."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from genrec.assets import Assets
from genrec.data import Dataset
from genrec.decoding.trie import Trie
from genrec.identifiers import TokenSequence
from genrec.prompts import Prompt
from genrec.types import PAD, Ranking

from ..identifiers.sequences import make_backbone


class Indexed:
    """An identifier that was set up on a data set.

    Args:
        identifier: any token sequence that needs no embeddings.
        dataset: its items.
        folder: where assets are kept.
        kind: of the language model, "t5" or "causal".
    """

    def __init__(self, identifier: TokenSequence, dataset: Dataset, folder: Path, kind: str = "t5") -> None:
        self.backbone = make_backbone(kind)
        self.prompt = Prompt()
        self.prompt.setup(self.backbone)
        self.catalog, self.assets = dataset.catalog, Assets(root=str(folder)).bind(dataset)
        self.identifier = identifier
        torch.manual_seed(1)
        identifier.setup(self.catalog, self.assets, self.backbone)

    @property
    def names(self) -> list[str]:
        """The identifiers of all items as people read them."""
        return [self.identifier.names.show(item) for item in range(len(self.catalog))]

    @property
    def codes(self) -> list[tuple[int, ...]]:
        """The identifiers of all items as numbers of new tokens."""
        names = self.identifier.names
        return [tuple(token - names.words for token in row if token != PAD) for row in names.codes.tolist()]

    def check(self) -> None:
        """Every identifier is of new tokens, belongs to one item, and can be told from those that begin as it does."""
        assert len(set(self.codes)) == len(self.catalog) == len(self.codes)
        assert {token for code in self.codes for token in code} <= set(range(len(self.identifier.names.tokens)))
        Trie(self.identifier.names.paths())

    def add(self, items: pl.DataFrame) -> None:
        """Extend the catalogue."""
        self.catalog = self.catalog.extend(items)
        self.assets = self.assets.extend(self.catalog)
        self.identifier.index(self.catalog, self.assets)

    def learn(self, history: Tensor, target: Tensor, steps: int) -> list[float]:
        """Train on one batch; the losses."""
        parameters = [*self.backbone.parameters(), *self.identifier.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=0.005)
        losses = []
        for _ in range(steps):
            context = self.prompt(self.backbone, self.identifier.embed(history))
            loss = self.identifier.loss(self.backbone, context, history, target)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    @torch.no_grad()
    def rank(self, history: Tensor, k: int) -> Ranking:
        """The best of all items."""
        memory = self.backbone.read(self.prompt(self.backbone, self.identifier.embed(history)))
        allowed = torch.ones(1, len(self.catalog), dtype=torch.bool)
        return self.identifier.eval().rank(self.backbone, memory, k, allowed)


def common(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """How many elements two sequences begin with together."""
    shared = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        shared += 1
    return shared


def begins_another(codes: list[tuple[int, ...]]) -> bool:
    """Whether a code is the beginning of another."""
    known = set(codes)
    return any(code[:length] in known for code in codes for length in range(1, len(code)))

"""Items whose identifiers a test gives itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrec.backbones import Backbone
from genrec.identifiers import NewToken, TokenSequence
from genrec.recommenders.prompts import Prompt
from genrec.types import PAD, Ranking


class Given(TokenSequence):
    """Identifiers of new tokens 0, 1, 2 ..., given by hand."""

    def __init__(self, paths: Sequence[Sequence[int]], **options: Any) -> None:
        super().__init__(**options)
        self.paths = paths

    def new_tokens(self, catalog: Any, assets: Any) -> list[NewToken]:
        return [NewToken(f"<{n}>") for n in range(1 + max(max(path) for path in self.paths))]

    def name_items(self, catalog: Any, assets: Any, known: np.ndarray) -> np.ndarray:
        width = max(map(len, self.paths))
        rows = [[*path, *[PAD] * (width - len(path))] for path in self.paths[len(known) :]]
        table = np.array(rows, np.int64)
        return np.where(table == PAD, PAD, table + self.names.words)


class Model:
    """An identifier on a language model."""

    def __init__(self, identifier: TokenSequence, backbone: Backbone, items: int) -> None:
        torch.manual_seed(1)
        self.identifier, self.backbone = identifier, backbone
        self.prompt = Prompt()
        self.prompt.setup(backbone)
        catalog: Any = range(items)
        identifier.setup(catalog, None, backbone)  # type: ignore[arg-type]
        identifier.eval()

    @torch.no_grad()
    def read(self, history: Tensor) -> Any:
        return self.backbone.read(self.prompt(self.backbone, self.identifier.embed(history)))

    @torch.no_grad()
    def rank(self, history: Tensor, k: int, allowed: Tensor) -> Ranking:
        return self.identifier.rank(self.backbone, self.read(history), k, allowed)

    @torch.no_grad()
    def scores(self, history: Tensor, closed: bool) -> Tensor:
        """Log-probability of every item's identifier for every user, one item after the other: [B, N]."""
        names = self.identifier.names
        columns = []
        for item in range(len(names.codes)):
            code = [int(token) for token in names.codes[item] if token != PAD]
            labels = [*code, self.backbone.end] if closed else code
            ids = torch.tensor([[self.backbone.start, *labels[:-1]]])
            context = self.prompt(self.backbone, self.identifier.embed(history))
            query = type(context).ordered(names.look_up(ids).expand(len(history), -1, -1))
            states = self.backbone(context, query) * self.backbone.head_scale
            head = self.backbone.head()
            rows = torch.cat([head, names.reads]) if names.tokens else head
            log_probs = (states @ rows.T).log_softmax(-1)
            columns.append(sum(log_probs[:, place, label] for place, label in enumerate(labels)))
        return torch.stack(columns, 1)  # type: ignore[arg-type]

"""A language model, and items whose identifiers a test gives itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrec.backbones import Backbone, CausalBackbone, T5Backbone
from genrec.identifiers import NewToken, TokenSequence
from genrec.recommenders.prompts import TEMPLATE, Prompt
from genrec.types import PAD, Ranking

T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
QWEN = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
}

HISTORY = torch.tensor([[0, 1, 2], [PAD, 6, 7], [PAD, PAD, PAD]])
TARGET = torch.tensor([3, 8, 0])
"""Three users of the data set of twelve items, the last of whom has taken nothing yet, and what they take next."""


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


def make_backbone(kind: str, **options: Any) -> Backbone:
    torch.manual_seed(0)
    backbone: Backbone = (
        T5Backbone(**{"sizes": T5, **options}) if kind == "t5" else CausalBackbone(**{"sizes": QWEN, **options})
    )
    backbone.setup([TEMPLATE, "red train", "blue boat"])
    # New weights are so small that nothing depends on anything.
    for name, parameter in backbone.named_parameters():
        if "relative_attention_bias" in name:
            torch.nn.init.normal_(parameter)
        elif "proj" in name and "lora" not in name and parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return backbone.eval()


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

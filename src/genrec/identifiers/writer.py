"""A language model that writes the token sequences of items, as the searches ask for it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from genrec.backbones import Backbone, Memory
from genrec.decoding.grounding import first_best, inner_products
from genrec.devices import held_at_once, widen
from genrec.identifiers.names import ItemNames
from genrec.types import PAD, Tokens

Normalize = Literal["full", "level", "children"]


class TokenWriter:
    """A language model that writes item identifiers; see `genrec.decoding.beam.Writer` and `free.FreeWriter`.

    Args:
        names: the vocabulary.
        backbone: the language model.
        memory: the prompts that it read.
        normalize: the distribution of a token is over the ``full`` vocabulary, over those that can stand at its
            ``level``, or over the ``children`` that count.
    """

    def __init__(self, names: ItemNames, backbone: Backbone, memory: Memory, normalize: Normalize) -> None:
        self.names = names
        self.backbone = backbone
        self.memory = memory
        self.normalize = normalize
        self.independent = normalize != "children"
        head = names.head(backbone)
        # Of a level only a few rows count: they alone become float32, where the model's are not.
        self.head = widen(head) if normalize == "full" else head
        self.tree = backbone.tree(memory)
        self.users = self.tree.users

    def _start(self, *shape: int) -> Tensor:
        return torch.full(shape, self.backbone.start, device=self.names.codes.device)

    def begin(self) -> Tensor:
        """See `Writer.begin`."""
        return self.tree.write(self.names.look_up(self._start(self.users, 1)))

    def write(self, tokens: Tensor, parents: Tensor) -> Tensor:
        """See `Writer.write`."""
        return self.tree.write(self.names.look_up(tokens), parents)

    def write_paths(self, paths: Tensor) -> Tensor:
        """See `Writer.write_paths`: P chains of tokens that do not see each other."""
        users, count, depth = paths.shape
        tokens = torch.cat([self._start(users, count, 1), paths.clamp(min=0)], 2)
        before = torch.arange(count * (depth + 1), device=paths.device).view(count, -1) - 1
        before[:, 0] = PAD
        query = Tokens.ordered(self.names.look_up(tokens.flatten(1)))
        states = self.backbone.write(self.memory, query, before.flatten().expand(users, -1))
        last = (paths != PAD).sum(2)[..., None, None].expand(-1, -1, 1, states.shape[2])
        return states.unflatten(1, (count, -1)).gather(2, last).squeeze(2)

    def likeliest(self, states: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """See `FreeWriter.likeliest`; over the full vocabulary."""
        parts = []
        for part in states.split(self._rows(self.head)):
            logits = inner_products(self.backbone.head_scale * widen(part), self.head).float()
            top = first_best(logits, min(count, logits.shape[1]))
            parts.append((top.values - _log_total(logits), top.indices))
        values, tokens = zip(*parts, strict=True)
        return torch.cat(values), torch.cat(tokens)

    def log_probs(self, states: Tensor, tokens: Tensor, real: Tensor, level: Tensor) -> Tensor:
        """See `Writer.log_probs`."""
        head = self.head
        if self.normalize != "full":
            head = widen(head[level])
            tokens = torch.searchsorted(level, tokens.clamp(min=0)).clamp(max=len(level) - 1)
        rows = self._rows(head)
        parts = zip(states.split(rows), tokens.split(rows), real.split(rows), strict=True)
        return torch.cat([self._log_probs(head, *part) for part in parts])

    def _rows(self, head: Tensor) -> int:
        """States whose logits are computed together."""
        return max(1, held_at_once(head.device) // len(head))

    def _log_probs(self, head: Tensor, states: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
        logits = inner_products(self.backbone.head_scale * widen(states), head).float()
        chosen = logits.gather(1, tokens.clamp(min=0))
        if self.independent:
            return chosen - _log_total(logits)
        return chosen - chosen.masked_fill(~real, torch.finfo(chosen.dtype).min).logsumexp(1, keepdim=True)


def _log_total(logits: Tensor) -> Tensor:
    """The logarithm of the sum of exponentials, [M, 1]. Overwrites the logits: another table of theirs takes longer."""
    most = logits.amax(1, keepdim=True)
    return logits.sub_(most).exp_().sum(1, keepdim=True).log_() + most

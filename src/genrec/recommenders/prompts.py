"""The prompt around a user's history, the same for every method (SETRec, Section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrec.backbones import Backbone
from genrec.errors import GenrecError
from genrec.types import Packed, Tokens

TEMPLATE = "What would the user be likely to purchase next after buying items <history>?;"
HISTORY = "<history>"


class Prompt(nn.Module):
    """Puts a history between the words of a template: ``[prefix words][history tokens][suffix words]``.

    Args:
        template: text with one ``<history>`` in it.

    Raises:
        GenrecError: if the template does not hold ``<history>`` exactly once.
    """

    prefix: Tensor
    suffix: Tensor

    def __init__(self, template: str = TEMPLATE) -> None:
        super().__init__()
        if template.count(HISTORY) != 1:
            raise GenrecError(f"the prompt template must hold {HISTORY} exactly once: {template!r}")
        self.template = template

    @property
    def texts(self) -> tuple[str, str]:
        """What stands before the history, and behind it."""
        prefix, suffix = (part.strip() for part in self.template.split(HISTORY))
        return prefix, suffix

    def setup(self, backbone: Backbone) -> None:
        """Turn the template's words into token ids of the backbone's tokenizer."""
        for name, text in zip(("prefix", "suffix"), self.texts, strict=True):
            ids = backbone.tokenizer(text, add_special_tokens=False)["input_ids"]
            # Not saved: the template and the tokenizer say it all.
            self.register_buffer(name, torch.tensor(ids, dtype=torch.long), persistent=False)

    def forward(self, backbone: Backbone, history: Tokens) -> Tokens:
        """The whole input sequence, [B, P + T*K + suffix, D]."""
        history, _ = history.compact()
        users = len(history.embeds)
        return Tokens.concat(
            self._words(backbone, self.prefix, users), history, self._words(backbone, self.suffix, users)
        )

    def packed(self, backbone: Backbone, history: Tokens, users: Tensor, cuts: Tensor, most: int) -> Packed:
        """The prompts of many beginnings of the same histories.

        Args:
            backbone: the language model.
            history: [B, T*K, D].
            users: [R] long, rising, whose history.
            cuts: [R] long, how many columns of the history each prompt has.
            most: no history has more prompts.
        """
        history, places = history.compact()
        trunk = Tokens.concat(self._words(backbone, self.prefix, len(history.embeds)), history)
        suffix = self._words(backbone, self.suffix, 1)
        return Packed(trunk, suffix, users, len(self.prefix) + places[users, cuts], most)

    def _words(self, backbone: Backbone, ids: Tensor, users: int) -> Tokens:
        return Tokens.ordered(backbone.words(ids).expand(users, -1, -1))

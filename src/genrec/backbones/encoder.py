"""A language model as an encoder of texts, such as it was before it was trained."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from genrec.backbones.lora import own_parameters, without_adapters
from genrec.io.progress import in_parts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH = 256
"""Texts that are encoded together."""


class TextEncoder(nn.Module, ABC):
    """Texts to vectors; made by `Backbone.encoder`.

    What it holds of its own is frozen, and in evaluation mode for ever.

    Args:
        tokenizer: of the language model.
        blank: token id of the word that stands for an empty text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, blank: int) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.blank = blank

    def train(self, mode: bool = True) -> TextEncoder:
        """Dropout would make another vector of the same text: there is no training mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, texts: Sequence[str]) -> Tensor:
        """Vectors float32 [n, D] of texts; they do not depend on what else is encoded."""
        ids = [torch.tensor(row) for row in self._ids(texts)]
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        vectors: list[Tensor] = []
        for rows in in_parts(order, BATCH):
            batch = [ids[row] for row in rows]
            mask = pad_sequence([torch.ones_like(row, dtype=torch.bool) for row in batch], batch_first=True)
            padded = pad_sequence(batch, batch_first=True)
            vectors.append(self.encode(padded.to(self.device), mask.to(self.device)).float())
        return torch.cat(vectors)[torch.tensor(order, device=self.device).argsort()]

    def fingerprint(self, texts: Sequence[str]) -> dict[str, str]:
        """Hashes of all that decides the vectors of texts: the model's parameters, and the texts' token ids."""
        weights = hashlib.sha256()
        for name, parameter in sorted(own_parameters(self.language_model)):
            weights.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
            weights.update(parameter.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
        return {"weights": weights.hexdigest(), "tokens": hashlib.sha256(str(self._ids(texts)).encode()).hexdigest()}

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.tokenizer(text, add_special_tokens=False)["input_ids"] or [self.blank] for text in texts]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.language_model.device

    @property
    @abstractmethod
    def language_model(self) -> PreTrainedModel:
        """What reads the texts."""

    @abstractmethod
    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Vectors [B, D] of token ids [B, S], of which those with ``mask`` [B, S] are real; they stand on the left."""


class T5TextEncoder(TextEncoder):
    """The mean of the states of a copy of T5's encoder.

    Args:
        tokenizer: of the language model.
        blank: see `TextEncoder`.
        model: the encoder.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, blank: int, model: PreTrainedModel) -> None:
        super().__init__(tokenizer, blank)
        self.model = deepcopy(model).requires_grad_(False).eval()
        # Plain texts need no masks of ours.
        self.model.set_attn_implementation("eager")

    @property
    def language_model(self) -> PreTrainedModel:
        """See `TextEncoder.language_model`."""
        return self.model

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """See `TextEncoder.encode`."""
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


class CausalTextEncoder(TextEncoder):
    """The last state of a text's last word, from a decoder-only model without its adapters.

    Args:
        tokenizer: of the language model.
        blank: see `TextEncoder`.
        model: the model, without an output layer.
        copy: whether all of it learns, so that a copy must be kept; otherwise the model is shared.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        blank: int,
        model: PreTrainedModel,
        copy: bool,
    ) -> None:
        super().__init__(tokenizer, blank)
        if copy:
            self.model = deepcopy(model).requires_grad_(False).eval()
        # In a tuple: a model that is shared is no part of this.
        self._model = (self.model if copy else model,)

    @property
    def language_model(self) -> PreTrainedModel:
        """See `TextEncoder.language_model`."""
        return self._model[0]

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """See `TextEncoder.encode`."""
        return self.states(ids, mask)[torch.arange(len(ids), device=ids.device), mask.sum(1) - 1]

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The last states [B, S, D] of all words, for the arguments of `encode`."""
        model = self.language_model
        length = ids.shape[1]
        before = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        place = torch.arange(length, device=ids.device).expand(len(ids), -1)
        seen = (mask[:, None, :] & before)[:, None]
        with without_adapters(model):
            return model(input_ids=ids, attention_mask=seen, position_ids=place, use_cache=False).last_hidden_state

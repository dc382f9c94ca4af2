"""TIGER: an item becomes the residual-quantised codes of its text, coarse to fine, and a number among its equals.

Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS 2023, arXiv 2305.05065. The authors published no
code. As in SETRec's comparison (arXiv 2502.10833, Section 4.1) the language model is a stock one, its prompt is made of
words, and there are no user tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from genrec.assets import ItemAssets, RQVAECodes
from genrec.assets.codes.groups import number_equals
from genrec.data import Catalog
from genrec.identifiers import NewToken, Search, TokenSequence
from genrec.types import PAD
from genrec_baselines.numbering import append, code_tokens, digits, width_for

NUMBERS = 256
"""Tokens for the numbers of items that share their codes; beyond that a number has two."""


class TIGER(TokenSequence):
    """``<a_12><b_200><c_7><d_0>``: three codes of 256 and, for EVERY item, the number among those with the same three.

    All identifiers have the same length. Where more than 256 items share their codes, every number has two tokens, or
    as many as the largest group needs: ``<d_1><d_43>``. The whole grid of codes is in the vocabulary, so an item that
    is added later finds its tokens there, trained or not; if its number is too large for those of the training, it has
    a token more than they.

    Args:
        codes: how text becomes codes; None takes the defaults of `RQVAECodes`.
        search: see `TokenSequence`.
    """

    def __init__(self, codes: RQVAECodes | None = None, search: Search | None = None) -> None:
        super().__init__(search)
        self.codes = codes or RQVAECodes()

    def new_tokens(self, catalog: Catalog, assets: ItemAssets) -> list[NewToken]:
        """A token for every code of every level, and those of the numbers."""
        return code_tokens([self.codes.size] * self.codes.length + [NUMBERS])

    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        """See `TokenSequence.name_items`."""
        codes = assets.codes(self.codes).numpy()
        numbers, levels = number_equals(codes), codes.shape[1]
        if len(known):
            width = int((known != PAD).sum(1).min()) - levels
        else:
            width = int(width_for(numbers.max(keepdims=True) + 1, NUMBERS)[0])
        spelled = digits(numbers[len(known) :], NUMBERS, width)
        if spelled.shape[1] > 1 and spelled.shape[1] > known.shape[1] - levels:
            print(
                f"TIGER: {numbers.max() + 1:,} items share the codes {codes[numbers.argmax()].tolist()}, so numbers "
                f"have up to {spelled.shape[1]} tokens: these texts are all alike, or the codes have collapsed"
            )
        tokens = codes[len(known) :] + np.arange(levels) * self.codes.size
        spelled = np.where(spelled == PAD, PAD, spelled + levels * self.codes.size)
        named = append(tokens, spelled)
        return np.where(named == PAD, PAD, named + self.names.words)

    def item_codes(self) -> tuple[Tensor, Sequence[int]]:
        """See `ItemIdentifier.item_codes`: the codes and the number."""
        tokens, levels = self.names.codes - self.names.words, self.codes.length
        codes = tokens[:, :levels] - torch.arange(levels, device=tokens.device) * self.codes.size
        number = torch.zeros_like(tokens[:, 0])
        for spelled, real in zip(tokens[:, levels:].T, (self.names.codes != PAD)[:, levels:].T, strict=True):
            number = torch.where(real, number * NUMBERS + spelled - levels * self.codes.size, number)
        sizes = [self.codes.size] * levels + [max(NUMBERS, int(number.max()) + 1)]
        return torch.cat([codes, number[:, None]], 1), sizes

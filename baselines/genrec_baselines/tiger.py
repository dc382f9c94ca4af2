"""TIGER: an item becomes the residual-quantised codes of its text, coarse to fine, and a number among its equals.

Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS 2023, arXiv 2305.05065. The authors published no
code. As in SETRec's comparison (arXiv 2502.10833, Section 4.1) the language model is a stock one, its prompt is made of
words, and there are no user tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from genrec.assets import ItemAssets, RQVAECodes
from genrec.data import Catalog
from genrec.errors import GenrecError
from genrec.identifiers import NewToken, Search, TokenSequence
from genrec_baselines.numbering import code_tokens, grid_codes, number_equals

EXTRA = 256
"""Items that may share their codes."""


class TIGER(TokenSequence):
    """``<a_12><b_200><c_7><d_0>``: three codes of 256 and, for EVERY item, the number among those with the same three.

    All identifiers have the same length. The whole grid of codes is in the vocabulary, so an item that is added later
    finds its tokens there, trained or not.

    Args:
        codes: how text becomes codes; None takes the defaults of `RQVAECodes`.
        search: see `TokenSequence`.
    """

    def __init__(self, codes: RQVAECodes | None = None, search: Search | None = None) -> None:
        super().__init__(search)
        self.codes = codes or RQVAECodes()

    def new_tokens(self, catalog: Catalog, assets: ItemAssets) -> list[NewToken]:
        """A token for every code of every level, and the numbers."""
        return code_tokens(self._sizes)

    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        """See `TokenSequence.name_items`.

        Raises:
            GenrecError: if more items share their codes than there are numbers.
        """
        codes = assets.codes(self.codes).numpy()
        numbers = number_equals(codes)
        if numbers.max() >= EXTRA:
            raise GenrecError(
                f"{numbers.max() + 1} items share the codes {codes[numbers.argmax()].tolist()}, but TIGER can tell "
                f"{EXTRA} apart: their texts are all alike, or the codes have collapsed (see the diagnostics of "
                f"{self.codes.name}); train the codes for longer, or with more levels"
            )
        levels = np.arange(codes.shape[1] + 1) * self.codes.size
        return (np.column_stack([codes, numbers]) + levels + self.names.words)[len(known) :]

    def item_codes(self) -> tuple[Tensor, Sequence[int]]:
        """See `ItemIdentifier.item_codes`: the codes and the number."""
        return grid_codes(self.names, self._sizes), self._sizes

    @property
    def _sizes(self) -> list[int]:
        return [self.codes.size] * self.codes.length + [EXTRA]

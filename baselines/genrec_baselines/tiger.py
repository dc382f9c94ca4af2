"""TIGER: an item becomes the residual-quantised codes of its text, coarse to fine, and a number among its equals.

Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS 2023, arXiv 2305.05065. The authors published no
code. As in SETRec's comparison (arXiv 2502.10833, Section 4.1) the language model is a stock one, its prompt is made of
words, and there are no user tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from genrec.assets import ItemAssets, ItemCodes, RQVAECodes
from genrec.data import Catalog
from genrec.identifiers import NewRows, NewToken, Search, TokenSequence
from genrec_baselines.numbering import NUMBERS, code_tokens, numbered, read_numbered


class TIGER(TokenSequence):
    """``<a_12><b_200><c_7><d_0>``: three codes of 256 and, for EVERY item, the number among those with the same three.

    All identifiers have the same length. Where more than 256 items share their codes, every number has two tokens, or
    as many as the largest group needs: ``<d_1><d_43>``. The whole grid of codes is in the vocabulary, so an item that
    is added later finds its tokens there, trained or not; if its number is too large for those of the training, it has
    a token more than they.

    Args:
        codes: how items become codes; None takes the defaults of `RQVAECodes`.
        search: see `TokenSequence`.
        new_rows: see `TokenSequence`.
    """

    def __init__(
        self,
        codes: RQVAECodes | ItemCodes | None = None,
        search: Search | None = None,
        new_rows: NewRows = "matched",
    ) -> None:
        super().__init__(search, new_rows=new_rows)
        self.codes: ItemCodes = codes or RQVAECodes()

    def new_tokens(self, catalog: Catalog, assets: ItemAssets) -> list[NewToken]:
        """A token for every code of every level, and those of the numbers."""
        return code_tokens([self.codes.size] * self.codes.length + [NUMBERS])

    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        """See `TokenSequence.name_items`."""
        return numbered("TIGER", assets.codes(self.codes).numpy(), self.codes.size, known, self.names.words)

    def item_codes(self) -> tuple[Tensor, Sequence[int]]:
        """See `ItemIdentifier.item_codes`: the codes and the number."""
        return read_numbered(self.names, self.codes.length, self.codes.size)

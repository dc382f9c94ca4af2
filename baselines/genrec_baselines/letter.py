"""LETTER: an item becomes residual-quantised codes of its text that also follow behaviour and are evenly used.

Wang et al., "Learnable Item Tokenization for Generative Recommendation", CIKM 2024, arXiv 2405.07314. Reference
implementation: github.com/HonghuiBao2000/LETTER. Unlike there, codes that two items still share after the repair are
moved to free ones, so every item has an identifier of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from genrec.assets import ItemAssets, ItemCodes, LETTERCodes
from genrec.data import Catalog
from genrec.identifiers import NewRows, NewToken, Search, TokenSequence
from genrec_baselines.numbering import named_by_codes, read_codes, tokens_of


class LETTER(TokenSequence):
    """``<a_12><b_200><c_7><d_91>``: four codes of 256, learned with alignment and diversity (Section 3.2).

    Args:
        codes: how items become codes; None takes the defaults of `LETTERCodes`. Where a recipe does not see to it that
            no two items share theirs, a number among the equals follows, as TIGER's.
        temperature: tau of the ranking-guided generation loss (Section 3.3), searched in {0.6, 0.8, 1.0}; 1 is plain
            cross-entropy, as in the authors' scripts.
        search: see `TokenSequence`.
        new_rows: see `TokenSequence`.
    """

    def __init__(
        self,
        codes: LETTERCodes | ItemCodes | None = None,
        temperature: float = 1.0,
        search: Search | None = None,
        new_rows: NewRows = "matched",
    ) -> None:
        super().__init__(search, temperature=temperature, new_rows=new_rows)
        self.codes: ItemCodes = codes or LETTERCodes()

    def new_tokens(self, catalog: Catalog, assets: ItemAssets) -> list[NewToken]:
        """A token for every code of every level, and those of the numbers where there are any."""
        return tokens_of(self.codes)

    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        """See `TokenSequence.name_items`."""
        return named_by_codes("LETTER", self.codes, assets, known, self.names.words)

    def item_codes(self) -> tuple[Tensor, Sequence[int]]:
        """See `ItemIdentifier.item_codes`."""
        return read_codes(self.names, self.codes)

"""LETTER: an item becomes residual-quantised codes of its text that also follow behaviour and are evenly used.

Wang et al., "Learnable Item Tokenization for Generative Recommendation", CIKM 2024, arXiv 2405.07314. Reference
implementation: github.com/HonghuiBao2000/LETTER. Unlike there, codes that two items still share after the repair are
moved to free ones, so every item has an identifier of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from genrec.assets import ItemAssets, LETTERCodes
from genrec.data import Catalog
from genrec.identifiers import NewToken, Search, TokenSequence
from genrec_baselines.numbering import code_tokens, grid_codes


class LETTER(TokenSequence):
    """``<a_12><b_200><c_7><d_91>``: four codes of 256, learned with alignment and diversity (Section 3.2).

    Args:
        codes: how text and collaborative embeddings become codes; None takes the defaults of `LETTERCodes`.
        temperature: tau of the ranking-guided generation loss (Section 3.3), searched in {0.6, 0.8, 1.0}; 1 is plain
            cross-entropy, as in the authors' scripts.
        search: see `TokenSequence`.
    """

    def __init__(
        self, codes: LETTERCodes | None = None, temperature: float = 1.0, search: Search | None = None
    ) -> None:
        super().__init__(search, temperature=temperature)
        self.codes = codes or LETTERCodes()

    def new_tokens(self, catalog: Catalog, assets: ItemAssets) -> list[NewToken]:
        """A token for every code of every level."""
        return code_tokens(self._sizes)

    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        """See `TokenSequence.name_items`."""
        codes = assets.codes(self.codes).numpy()
        return (codes + np.arange(codes.shape[1]) * self.codes.size + self.names.words)[len(known) :]

    def item_codes(self) -> tuple[Tensor, Sequence[int]]:
        """See `ItemIdentifier.item_codes`."""
        return grid_codes(self.names, self._sizes), self._sizes

    @property
    def _sizes(self) -> list[int]:
        return [self.codes.size] * self.codes.length

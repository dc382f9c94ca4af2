"""LC-Rec: an item becomes residual-quantised codes of its text that are its own; many tasks teach what they mean.

Zheng et al., "Adapting Large Language Models by Integrating Collaborative Semantics for Recommendation", ICDE 2024,
arXiv 2311.09049. Reference implementation: github.com/RUCAIBox/LC-Rec. The tasks are data (``data.tasks``, given in
``configs/identifier/lcrec.yaml``), and any other method may learn from them too. Unlike there:

- text embeddings come from the shared text encoder, not from the language model (``assets.text`` may be it);
- codes that two items still share after the repair are moved to free ones, so every item has an identifier of its own;
- a target counts as much as any other, a text by the mean over its words: there all tokens of a batch have one mean;
- items ask and are asked for by themselves only where they are in the training split, so that cold ones stay cold;
- the prompts are our own. What people want is told by an item's categories and brand, or by a file (``data.queries``);
  there a large language model wrote intentions and preferences from reviews, which were asked beside the history, too,
  and the preferences of users were to be answered;
- with LoRA the words that the language model knows stay as they are; there they learn;
- a search follows the trie of all items, not what may stand at each place; one prompt asks it, not seventeen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from genrec.assets import ItemAssets, ItemCodes, RQVAECodes
from genrec.data import Catalog
from genrec.identifiers import NewRows, NewToken, Search, TokenSequence
from genrec_baselines.numbering import named_by_codes, read_codes, tokens_of

EPSILON = 0.003
"""Of the transport that evens out the last level: the authors' scripts."""


class LCRec(TokenSequence):
    """``<a_12><b_200><c_7><d_91>``: four codes of 256, the last one evenly used (Section III-B).

    Args:
        codes: how items become codes; None is `RQVAECodes` of four levels with an even last one. Where a recipe does
            not see to it that no two items share theirs, a number among the equals follows, as TIGER's.
        search: see `TokenSequence`.
        separator: see `TokenSequence`.
        new_rows: see `TokenSequence`.
    """

    def __init__(
        self,
        codes: RQVAECodes | ItemCodes | None = None,
        search: Search | None = None,
        separator: str = ", ",
        new_rows: NewRows = "matched",
    ) -> None:
        super().__init__(search, separator, new_rows=new_rows)
        self.codes: ItemCodes = codes or RQVAECodes(levels=4, reduction="mean", epsilon=EPSILON)

    def new_tokens(self, catalog: Catalog, assets: ItemAssets) -> list[NewToken]:
        """A token for every code of every level, and those of the numbers where there are any."""
        return tokens_of(self.codes)

    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        """See `TokenSequence.name_items`."""
        return named_by_codes("LCRec", self.codes, assets, known, self.names.words)

    def item_codes(self) -> tuple[Tensor, Sequence[int]]:
        """See `ItemIdentifier.item_codes`."""
        return read_codes(self.names, self.codes)

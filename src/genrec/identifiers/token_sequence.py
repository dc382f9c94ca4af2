"""The family of token-sequence identifiers: an item becomes a short sequence of tokens, written one after the other.

A member says which new tokens there are and which tokens name an item; reading histories, the loss and the search are
the same for all. Training is next-token cross-entropy; ranking is a search over the trie of all identifiers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genrec.assets import ItemAssets
from genrec.backbones import Backbone, Context, Memory
from genrec.data import Catalog
from genrec.decoding.beam import beam_search
from genrec.decoding.exact import exact_search
from genrec.decoding.trie import Trie
from genrec.errors import GenrecError
from genrec.identifiers.base import ItemIdentifier
from genrec.identifiers.names import ItemNames
from genrec.identifiers.negatives import NegativeSampler, sampler_of_tokens
from genrec.identifiers.targets import mean_loss
from genrec.identifiers.vocabulary import NewRows, NewToken
from genrec.identifiers.writer import Normalize, TokenWriter
from genrec.losses import Negatives
from genrec.types import PAD, Ranking, Tokens


@dataclass(frozen=True)
class Search:
    """How the best identifiers are found.

    Args:
        beams: W, kept per user and candidate set.
        normalize: what a token's probability is relative to: the ``full`` vocabulary (an item's score is then the
            log-probability of its identifier, whatever the candidates), all tokens of its ``level``, or the valid
            ``children``. With ``level`` training tells a token from those of its level, too, which is faster.
        length_penalty: a; scores are divided by ``length ** a``.
        exact: find the best items of all, by branch and bound after the beam search.

    Raises:
        GenrecError: if the numbers make no sense together.
    """

    beams: int = 20
    normalize: Normalize = "full"
    length_penalty: float = 0.0
    exact: bool = False

    def __post_init__(self) -> None:
        if self.beams < 1 or self.length_penalty < 0:
            raise GenrecError(
                f"a search needs at least one beam and a length penalty from 0 on, not {self.beams} and "
                f"{self.length_penalty}"
            )
        if self.exact and (self.length_penalty or self.normalize == "children"):
            raise GenrecError(
                "an exact search needs `length_penalty: 0` and `normalize: full` or `level`: only then a score bounds "
                "those of the identifiers that it begins"
            )


class TokenSequence(ItemIdentifier, ABC):
    """An item is a sequence of tokens, distinct from every other item's.

    A subclass implements `name_items`, and `new_tokens` if it names items with tokens of its own.

    Args:
        search: how identifiers are decoded; None takes the defaults of `Search`.
        separator: text between the items of a history.
        temperature: of the softmax in training (LETTER's tau); it plays no role in ranking.
        new_rows: what the embeddings of new tokens begin as, see `genrec.identifiers.vocabulary.first_rows`.
    """

    def __init__(
        self,
        search: Search | None = None,
        separator: str = "",
        temperature: float = 1.0,
        new_rows: NewRows = "matched",
    ) -> None:
        super().__init__()
        self.search = search or Search()
        self.temperature = temperature
        self.names = ItemNames(separator, new_rows)
        self._trie: tuple[Tensor, Trie] | None = None
        self._negatives: Negatives | None = None
        self.sampler: NegativeSampler | None = None

    def learn_from(self, negatives: Negatives) -> None:
        """See `ItemIdentifier.learn_from`: they are tokens of the vocabulary.

        Raises:
            GenrecError: if tokens are told from the few that can stand at their place.
        """
        if self.search.normalize == "level":
            raise GenrecError(
                "with `search.normalize: level` a token is told from those of its place alone, which are few: leave "
                "out `model.init_args.negatives`"
            )
        self._negatives = negatives

    def new_tokens(self, catalog: Catalog, assets: ItemAssets) -> Sequence[NewToken]:
        """The tokens that the language model does not have; the same however many items are added later."""
        return ()

    @abstractmethod
    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        """The identifiers of the items from row ``len(known)`` on.

        Args:
            catalog: N items.
            assets: of the same N items.
            known: int64 [n, L], the identifiers of the first n items (n = 0 at first), `PAD` behind shorter ones;
                they stay as they are.

        Returns:
            int64 [N - n, L'], token ids (`names`.words is the first new token's), `PAD` behind shorter ones.
        """

    def setup(self, catalog: Catalog, assets: ItemAssets, backbone: Backbone) -> None:
        """See `ItemIdentifier.setup`."""
        self.names.setup(backbone, self.new_tokens(catalog, assets))
        self.index(catalog, assets)

    def index(self, catalog: Catalog, assets: ItemAssets) -> None:
        """Name the items that have no name yet."""
        self.names.extend(len(catalog), lambda known: self.name_items(catalog, assets, known))
        self.sampler = sampler_of_tokens(self._negatives, self.names, assets)

    @property
    def trie(self) -> Trie:
        """The trie of all identifiers, built when it is first needed."""
        if self._trie is None or self._trie[0] is not self.names.codes:
            self._trie = self.names.codes, Trie(self.names.paths())
        return self._trie[1]

    def embed(self, items: Tensor) -> Tokens:
        """See `ItemIdentifier.embed`."""
        return self.names.embed(items)

    def loss(self, backbone: Backbone, context: Context, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The cross-entropy of the target's tokens, see `genrec.identifiers.targets.mean_loss`."""
        sampler = self.sampler if self.training else None
        temperature = self.temperature if self.training else 1.0
        levels = self.trie.levels if self.search.normalize == "level" else None
        return {"loss": mean_loss(self.names, backbone, context, target, temperature, levels, sampler)}

    def rank(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor) -> Ranking:
        """The identifiers with the best scores, by beam search or exactly; all candidate sets in one search."""
        writer = TokenWriter(self.names, backbone, memory, self.search.normalize)
        found = beam_search(writer, self.trie, allowed, k, self.search.beams, self.search.length_penalty)
        return exact_search(writer, self.trie, allowed, k, found).ranking if self.search.exact else found

    def reach(self, k: int, more: int) -> int:
        """See `ItemIdentifier.reach`: as many as there are beams, which more items would be more of."""
        return k + more if self.search.exact else min(k + more, max(k, self.search.beams))

    def token_names(self) -> list[str]:
        """What the tokens of an item are called, in their order; none where a score is no sum over them."""
        sums = self.search.normalize != "children" and not self.search.length_penalty
        return [f"token {place}" for place in range(1, len(self.trie.levels) + 1)] if sums else []

    def token_scores(self, backbone: Backbone, memory: Memory, items: Tensor) -> Tensor:
        """The log-probability of every token of items [B, k]: [B, k, L], 0 behind shorter identifiers."""
        writer = TokenWriter(self.names, backbone, memory, self.search.normalize)
        paths, parts = self.names.paths()[items], []
        for depth, level in enumerate(self.trie.levels):
            states, tokens = writer.write_paths(paths[..., :depth]), paths[..., depth]
            flat, real = tokens.flatten()[:, None], tokens != PAD
            found = writer.log_probs(states.flatten(0, 1), flat, flat != PAD, level).view_as(tokens)
            parts.append(found * real)
        return torch.stack(parts, 2)

    def token_sequences(self) -> ItemNames:
        """See `ItemIdentifier.token_sequences`."""
        return self.names

    def describe(self, item: int) -> str:
        """The item's tokens by name, and its words as the language model's tokenizer writes them."""
        return self.names.show(item)

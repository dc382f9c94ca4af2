"""IDGenRec: an item becomes a few words that name it, written in the language model's own vocabulary.

Tan et al., "IDGenRec: LLM-RecSys Alignment with Textual ID Learning", SIGIR 2024, arXiv 2403.19021. Reference
implementation: github.com/agiresearch/IDGenRec. Unlike it, users have no name (the released ones are made of the test
items too), and the names of items are made once, before the training, unless `AlternatingTraining` is added to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from genrec.assets import CatalogTags, Frequency, ItemAssets, ItemTags, KeywordTags
from genrec.assets.tags.words import TAGS
from genrec.backbones import Backbone
from genrec.data import Catalog, Ragged
from genrec.errors import GenrecError
from genrec.identifiers import Search, TokenSequence
from genrec.types import PAD

SHORTEST = 8
"""Tokens that there must be for a word and a number behind it."""


class IDGenRec(TokenSequence):
    """Items are called by tags such as ``webkinz pug toys games``; no new tokens, so nothing of an item is unheard of.

    Names are distinct as token sequences, not only as text. Items of the training split are named before the others.

    Args:
        tags: who names the items; None takes the catalogue's tags, and keywords for items that have none.
        max_tokens: the longest name; longer ones are cut.
        search: see `TokenSequence`; ``beams: 10, length_penalty: 1`` is the authors' code.
        separator: see `TokenSequence`.

    Raises:
        GenrecError: if ``max_tokens`` leaves no room for a word and a number.
    """

    def __init__(
        self,
        tags: ItemTags | None = None,
        max_tokens: int = 24,
        search: Search | None = None,
        separator: str = " ; ",
    ) -> None:
        super().__init__(search, separator)
        if max_tokens < SHORTEST:
            raise GenrecError(f"IDGenRec needs names of at least {SHORTEST} tokens, got max_tokens={max_tokens}")
        self.tags = tags or CatalogTags(otherwise=KeywordTags())
        self.max_tokens = max_tokens

    def texts(self, catalog: Catalog, assets: ItemAssets) -> Sequence[str]:
        """See `ItemIdentifier.texts`: the names stand in every history, so that their words are to be few tokens."""
        return [*catalog.titles, *self._tags(catalog, assets)]

    def setup(self, catalog: Catalog, assets: ItemAssets, backbone: Backbone) -> None:
        """See `ItemIdentifier.setup`."""
        self._tokenizer = backbone.tokenizer
        super().setup(catalog, assets, backbone)

    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        """See `TokenSequence.name_items`."""
        late = np.ones(len(catalog), bool)
        counts = assets.built(Frequency())["counts"]
        late[: len(counts)] = counts == 0
        return self._unique(self._tags(catalog, assets), late, known)

    def _tags(self, catalog: Catalog, assets: ItemAssets) -> list[str]:
        """Of every item, as they come."""
        built = assets.built(self.tags)
        return [*built[TAGS].tolist(), *self.tags.encode(catalog, built)]

    def rename(self, tags: Sequence[str], warm: np.ndarray) -> float:
        """Give all items other names.

        Args:
            tags: of every item.
            warm: bool [N], the items of the training split.

        Returns:
            the share of the items whose name is another one now.
        """
        before = self.names.codes.tolist()
        table = self._unique(tags, ~warm, np.empty((0, 0), np.int64))
        self.names.codes = torch.from_numpy(table).to(self.names.codes.device)
        after = self.names.codes.tolist()
        changed = [_real(old) != _real(new) for old, new in zip(before, after, strict=True)]
        return sum(changed) / len(changed)

    def _unique(self, tags: Sequence[str], late: np.ndarray, known: np.ndarray) -> np.ndarray:
        """The token ids of items from row ``len(known)`` on, int64 [n, L]; the ``late`` ones are named last."""
        taken = {_real(row) for row in known.tolist()}
        names: dict[int, tuple[int, ...]] = {}
        for item in len(known) + np.argsort(late[len(known) :], kind="stable"):
            names[item] = self._name(tags[item], taken)
            taken.add(names[item])
        return Ragged.from_lists(list(names[item]) for item in sorted(names)).padded(np.arange(len(names)))

    def _name(self, tag: str, taken: set[tuple[int, ...]]) -> tuple[int, ...]:
        """A tag's token ids; with a number behind them, if another item has the same."""
        words, number = self._ids(tag), list[int]()
        for count in range(2, len(taken) + 4):
            name = (*words[: self.max_tokens - len(number)], *number)
            if name and name not in taken:
                return name
            number = self._ids(f" {count}")
        raise GenrecError(
            f"the tokenizer does not tell numbers apart, so `{tag}` cannot be made unique: take another one"
        )

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]


def _real(row: Sequence[int]) -> tuple[int, ...]:
    return tuple(token for token in row if token != PAD)

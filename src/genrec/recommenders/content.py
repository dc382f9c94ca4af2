"""References that know the items' texts and no user but the one who asks: nothing is trained, and cold items are known.

A method that reads texts has to be better than what the texts alone say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import scipy
import torch
from torch import Tensor
from torch.nn.functional import normalize

from genrec.assets import Assets
from genrec.assets.terms import Field, Terms
from genrec.decoding.grounding import inner_products, items_at_once, top_k_in_parts
from genrec.errors import GenrecError, at_least
from genrec.identifiers.tables import Tables, table
from genrec.recommenders.base import RankingModule
from genrec.recommenders.references import random_order
from genrec.types import PAD, Ranking

TITLE: tuple[Field, ...] = ("title",)


class _ByText(Tables, RankingModule):
    """Items by the cosine of their texts to those of a user's last items.

    A user's score of an item is the sum of its cosines to his last items, the most recent with weight 1, the one before
    with ``decay``, then decay squared ... An item of the history is as near as can be to itself, and is ranked as any
    other.

    Args:
        fields: the columns of the catalogue whose words are compared (`genrec.assets.terms`); None compares the
            embeddings of ``assets.text``.
        last: how many of a user's last items count.
        decay: the weight of an item relative to that of the one after it.
        assets: has the embeddings.
        ks: the cut-offs of the metrics.
        seed: items of equal score, all those without a word among them, are ordered at random; this decides how.

    Raises:
        GenrecError: if there is nothing to compare, or a number makes no sense.
    """

    learns = False
    extends = True

    def __init__(
        self,
        fields: Sequence[Field] | None,
        last: int,
        decay: float,
        assets: Assets | None,
        ks: Sequence[int],
        seed: int,
    ) -> None:
        super().__init__(ks)
        at_least(1, self.method, last=last)
        if not 0 < decay <= 1:
            raise GenrecError(f"`decay` of {self.method} is {decay}: give a number above 0, and at most 1")
        if fields is None and (assets is None or assets.text is None):
            raise GenrecError(
                f"{self.method} without `fields` compares the embeddings of `assets.text`: give a text encoder, such "
                "as MiniLMText, or `fields: [title]`"
            )
        self.fields = None if fields is None else tuple(fields)
        self.last = last
        self.decay = decay
        self.assets = assets if fields is None else None
        self.seed = seed

    def setup(self, stage: str) -> None:
        """Read the items' texts."""
        super().setup(stage)
        self._read_texts()

    def add_items(self, items: pl.DataFrame, candidates: bool | np.ndarray = True) -> None:
        """See `RankingModule.add_items`: their texts are all there is to know."""
        super().add_items(items, candidates)
        self._read_texts()

    def _read_texts(self) -> None:
        known = self.known.catalog
        self.ties = table(1e-6 * random_order(len(self.catalog), self.seed))
        if self.fields is not None:
            self.words = Terms(known, self.fields).vectors(self.catalog).astype(np.float32)
            return
        assert self.assets is not None
        self.item_assets = self.assets.bind(self.known)
        if len(known) < len(self.catalog):
            self.item_assets = self.item_assets.extend(self.catalog)
        self.vectors = table(normalize(self.item_assets.text, dim=1))

    def rank(self, history: Tensor, k: int, allowed: Tensor) -> Ranking:
        """See `RankingModule.rank`."""
        recent = history[:, -self.last :]
        ages = torch.arange(recent.shape[1] - 1, -1, -1, device=history.device)
        weights = torch.where(recent != PAD, self.decay**ages, 0.0).float()
        score = self._by_words if self.fields is not None else self._by_embeddings
        return top_k_in_parts(score(recent.clamp(min=0), weights), items_at_once(history, len(self.ties)), allowed, k)

    def _by_embeddings(self, items: Tensor, weights: Tensor) -> Callable[[int, int], Tensor]:
        """What gives the scores of a part of the items, from those of histories [B, T] and their weights."""
        users = (self.vectors[items] * weights[..., None]).sum(1)
        return lambda start, stop: inner_products(users, self.vectors[start:stop]) + self.ties[start:stop]

    def _by_words(self, items: Tensor, weights: Tensor) -> Callable[[int, int], Tensor]:
        """See `_by_embeddings`."""
        users, places = np.nonzero(weights.numpy(force=True))
        entries = weights.numpy(force=True)[users, places], (users, items.numpy(force=True)[users, places])
        taken = scipy.sparse.csr_array(entries, shape=(len(items), len(self.ties))) @ self.words

        def scores(start: int, stop: int) -> Tensor:
            near = (taken @ self.words[start:stop].T).toarray()
            return torch.from_numpy(near).to(self.ties) + self.ties[start:stop]

        return scores


class ContentKNN(_ByText):
    """Items whose texts are nearest to those of the last few: a content-based neighbourhood.

    Args:
        fields: the columns of the catalogue whose words are compared (`genrec.assets.terms`); None compares the
            embeddings of ``assets.text``.
        last: how many of a user's last items count.
        decay: the weight of an item relative to that of the one after it.
        assets: has the embeddings.
        ks: the cut-offs of the metrics.
        seed: items of equal score, all those without a word among them, are ordered at random; this decides how.
    """

    def __init__(
        self,
        fields: Sequence[Field] | None = TITLE,
        last: int = 3,
        decay: float = 0.7,
        assets: Assets | None = None,
        ks: Sequence[int] = (5, 10),
        seed: int = 0,
    ) -> None:
        super().__init__(fields, last, decay, assets, ks, seed)


class CopyLast(_ByText):
    """Items whose texts are nearest to that of the very last one: what copying it and looking for its like finds.

    Args:
        fields: the columns of the catalogue whose words are compared (`genrec.assets.terms`); None compares the
            embeddings of ``assets.text``.
        assets: has the embeddings.
        ks: the cut-offs of the metrics.
        seed: items of equal score, all those without a word among them, are ordered at random; this decides how.
    """

    def __init__(
        self,
        fields: Sequence[Field] | None = TITLE,
        assets: Assets | None = None,
        ks: Sequence[int] = (5, 10),
        seed: int = 0,
    ) -> None:
        super().__init__(fields, 1, 1.0, assets, ks, seed)

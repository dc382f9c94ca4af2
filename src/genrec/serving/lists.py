"""The lists that users are recommended, a window of users at a time: memory does not grow with how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl
import torch
from torch import Tensor

from genrec.data import Ragged, SequenceData
from genrec.decoding.code_sums import CodeIndex
from genrec.decoding.vector_index import VectorIndex
from genrec.errors import GenrecError
from genrec.evaluation.lists import refuse_flaws, refuse_shape
from genrec.evaluation.watch import refuse_nan
from genrec.recommenders import RankingModule
from genrec.serving import asked, own_items
from genrec.serving.indexing import Indexing
from genrec.types import PAD

LEAST = 4
"""Users whose lists do not depend on how many there are, to the last bit: products of fewer rows add up otherwise."""
FILLER = 0
"""The item of the histories that make up that number; at least one, without padding, keeps every batch that wide."""


class Lists:
    """What is recommended to whom.

    Args:
        model: ranks.
        data: says how much of a history is read, and how many users are ranked together.
        index: is searched in its place; None asks the model.
        k: items per user.
        allowed: the rows of the items that may be recommended; None allows all.
        repeats: whether items of a user's history may be recommended to him again.

    Raises:
        GenrecError: if k is no number of items, or one that is allowed may not be recommended.
    """

    def __init__(
        self,
        model: RankingModule,
        data: SequenceData,
        index: VectorIndex | CodeIndex | None,
        k: int,
        allowed: np.ndarray | None,
        repeats: bool,
    ) -> None:
        if isinstance(k, bool) or not isinstance(k, int | np.integer):
            raise GenrecError(f"k is the number of items per user, a whole number such as 10, not {k!r:.80}")
        self._model, self._data, self._index = model, data, index
        self._k, self._repeats = k, repeats
        self._candidates = model.candidates
        if allowed is not None:
            foreign = allowed[~model.candidates[allowed]]
            if len(foreign):
                raise GenrecError(f"`{model.catalog.keys[foreign[0]]}` is read in histories, and never recommended")
            self._candidates = np.isin(np.arange(len(model.catalog)), allowed)
        self._named = model.catalog.items.select("item", "title")

    def check(self, histories: Sequence[Sequence[str]], first: int) -> None:
        """Whether a window of users can be recommended anything.

        Args:
            histories: their items' keys.
            first: the number of the first user.

        Raises:
            GenrecError: if a key is unknown, or fewer than k items may be recommended to a user.
        """
        self._own(asked.rows(self._model.catalog, histories), first)

    def of(self, histories: Sequence[Sequence[str]], first: int) -> pl.DataFrame:
        """The lists of a window of users, see `genrec.serving.Served.recommend`; arguments and errors as `check`."""
        lists = asked.rows(self._model.catalog, histories)
        own, k = self._own(lists, first), self._k
        items, scores = np.empty((len(lists), k), np.int64), np.empty((len(lists), k), np.float32)
        size, longest = self._data.rank_batch_size, self._data.max_history
        for part in own_items.parts(lists, own, self._candidates, k, size, longest):
            history = np.full((max(LEAST, len(part.users) + 1), part.width), FILLER)
            read = lists.windows(part.users, lists.lengths[part.users], longest)
            history[: len(read)] = PAD
            history[: len(read), part.width - read.shape[1] :] = read
            usual = part.candidates is self._candidates
            ranked = self._rank(history, part.depth, self._allowed if usual else self._sent(part.candidates))
            found, values = (each[: len(part.users)] for each in ranked)
            kept = own_items.without(found, own, part.users, k)
            items[part.users] = np.take_along_axis(found, kept, 1)
            scores[part.users] = np.take_along_axis(values, kept, 1)
        return self._named[items.ravel()].select(
            pl.Series("user", np.arange(first, first + len(lists)).repeat(k)),
            pl.Series("rank", np.tile(np.arange(1, k + 1), len(lists))),
            "item",
            pl.col("title").fill_null(""),
            pl.Series("score", scores.ravel()),
        )

    def _own(self, lists: Ragged, first: int) -> Ragged:
        own = own_items.own_items(lists, self._candidates, self._repeats)
        own_items.check(own, self._candidates, self._k, first)
        return own

    @cached_property
    def _allowed(self) -> Tensor:
        """The candidates [1, N] on the model's device, one tensor for all: what is known of it is looked up once."""
        return self._sent(self._candidates)

    def _sent(self, candidates: np.ndarray) -> Tensor:
        return torch.from_numpy(candidates)[None].to(self._model.device)

    @torch.inference_mode()
    def _rank(self, history: np.ndarray, k: int, allowed: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The ranking of histories [B, T] over candidates, bool [1, N]: items and scores [B, k]."""
        model, histories = self._model, torch.from_numpy(history).to(self._model.device)
        if self._index is not None:
            ranking = Indexing(model, self._data).search(self._index, histories, k, allowed)
        else:
            ranking = model.rank(histories, k, allowed)
            refuse_shape(ranking, 1, len(history), k, model.method)
        refuse_nan(ranking.scores)
        refuse_flaws(ranking, allowed, model.method)
        return ranking.items[0].cpu().numpy(), ranking.scores[0].float().cpu().numpy()

"""A ranking that was made elsewhere, measured like every other: for libraries that have evaluators of their own.

Two evaluators are two numbers. What another program ranked for the users of a data set is read from a file, and its row
stands in the same table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import polars as pl
import scipy
import torch
from torch import Tensor

from genrec.assets.given import present, read_table
from genrec.data import Catalog
from genrec.decoding.grounding import items_at_once, top_k_in_parts
from genrec.errors import GenrecError
from genrec.identifiers.tables import Tables, table
from genrec.recommenders.base import RankingModule
from genrec.types import Batch, Ranking


class GivenRanking(Tables, RankingModule):
    """Lists of items by user, from a file; items that a list lacks follow it in one random order.

    Where a setting leaves fewer candidates of a list than are ranked, as when a list has hardly any cold item, the rest
    is that order, which is chance: how often is said. To have every setting measured, give lists of all items.

    Args:
        path: a ``.parquet`` or ``.csv`` file with the columns ``user`` and ``item`` (their keys) and ``rank`` (1 is the
            best), as `genrec predict` writes.
        name: what the method is called in tables.
        ks: the cut-offs of the metrics.
        seed: decides the random order.
    """

    learns = False
    serves = False

    def __init__(self, path: str, name: str = "GivenRanking", ks: Sequence[int] = (5, 10), seed: int = 0) -> None:
        super().__init__(ks)
        self.path = path
        self.name = name
        self.seed = seed
        self._users: np.ndarray | None = None

    @property
    def method(self) -> str:
        """See `Measured.method`."""
        return self.name

    def setup(self, stage: str) -> None:
        """Read the file.

        Raises:
            GenrecError: if it cannot be read, names unknown users or items, an item or a rank twice, or too few items.
        """
        super().setup(stage)
        frame = read_table(present(self.path), ("user", "item", "rank"))
        users = self._rows("user", frame, Catalog(pl.DataFrame({"item": self.dataset.users.column})))
        items = self._rows("item", frame, self.dataset.catalog)
        ranks = frame["rank"].cast(pl.Float64, strict=False)
        counted = ranks.is_finite() & (ranks >= 1) & (ranks == ranks.floor())
        self._refuse(frame, ~counted.fill_null(False).to_numpy(), "has no whole number from 1 on as its rank")
        for what, numbers in (("stands", items), ("ranks", ranks.to_numpy())):
            pairs = pl.DataFrame({"user": users, "other": numbers}).to_struct()
            self._refuse(frame, ~pairs.is_first_distinct().to_numpy(), f"{what} in the list of its user before")
        order = np.lexsort((ranks.to_numpy(), users))
        lengths = np.bincount(users, minlength=len(self.dataset.users))
        if (short := (lengths > 0) & (lengths < max(self.ks))).any():
            user = int(short.argmax())
            raise GenrecError(
                f"`{self.path}`: the list of user `{self.dataset.users[user]}` has {lengths[user]} items, fewer than "
                f"k = {max(self.ks)} (`ks` of the model)"
            )
        starts = np.concatenate([[0], lengths.cumsum()])
        # The longest list begins with its length, and no list ends below 1: what follows is between 0 and 1.
        scores = lengths.max() - (np.arange(len(order)) - np.repeat(starts[:-1], lengths))
        shape = (len(lengths), len(self.dataset.catalog))
        self._lists = scipy.sparse.csr_array((scores.astype(np.float64), items[order], starts), shape=shape)
        self.ties = table(torch.rand(shape[1], generator=torch.Generator().manual_seed(self.seed)))
        self._filled = self._ranked_lists = 0

    def _rows(self, column: str, frame: pl.DataFrame, known: Catalog) -> np.ndarray:
        rows = known.find(frame[column].cast(pl.String).fill_null(""))  # type: ignore[arg-type]
        article = "an" if column == "item" else "a"
        self._refuse(frame, rows < 0, f"has {article} {column} that {self.dataset.name} does not have")
        return rows

    def _refuse(self, frame: pl.DataFrame, bad: np.ndarray, why: str) -> None:
        if bad.any():
            row = int(bad.argmax())
            user, item, rank = frame.select("user", "item", "rank").row(row)
            raise GenrecError(f"`{self.path}`, row {row + 1}: item `{item}` of user `{user}` at rank {rank} {why}")

    @contextmanager
    def holding(self, batch: Batch) -> Iterator[None]:
        """See `Measured.holding`: whose histories they are."""
        self._users = batch.users.numpy(force=True)
        try:
            yield
        finally:
            self._users = None

    def rank(self, history: Tensor, k: int, allowed: Tensor) -> Ranking:
        """See `RankingModule.rank`; the histories play no role.

        Raises:
            GenrecError: if the file has no list for a user, or nobody knows who is asking.
        """
        if self._users is None:
            raise GenrecError(f"{self.method} is a ranking from a file, and knows nothing of histories that are new")
        lists = self._lists[self._users]
        lengths = np.diff(lists.indptr)
        if not lengths.all():
            user = self.dataset.users[int(self._users[int((lengths == 0).argmax())])]
            raise GenrecError(f"`{self.path}` has no list for user `{user}`")
        there = (lists > 0).astype(np.int64) @ allowed.T.numpy(force=True).astype(np.int64)
        self._filled += int((there < k).sum())
        self._ranked_lists += there.size
        columns = lists.tocsc()

        def scores(start: int, stop: int) -> Tensor:
            part = torch.from_numpy(columns[:, start:stop].toarray().astype(np.float32)).to(self.ties)
            return part + self.ties[start:stop] * (part == 0)

        return top_k_in_parts(scores, items_at_once(history, len(self.ties)), allowed, k)

    def on_test_epoch_end(self) -> None:
        """See `Measured.on_test_epoch_end`; says how many lists were too short."""
        super().on_test_epoch_end()
        if self._filled:
            print(
                f"{self.path}: {self._filled:,} of {self._ranked_lists:,} lists, those of all settings, have fewer "
                f"than {max(self.ks)} candidates, and end in random order"
            )
        self._filled = self._ranked_lists = 0

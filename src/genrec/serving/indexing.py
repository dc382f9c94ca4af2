"""What an index holds of a recommender's items, and what it is asked for a user."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from genrec.data import Ragged, SequenceData
from genrec.decoding.code_sums import CodeIndex, CodeSums
from genrec.decoding.vector_index import InnerProducts, Kind, Tuned, VectorIndex
from genrec.errors import GenrecError
from genrec.recommenders import RankingModule
from genrec.serving import kept_index
from genrec.serving.kept_index import Place
from genrec.types import Ranking

RECALL = 0.99
"""The share of the true best items that an approximate index is to find."""
PROBES = 256
"""Users on whom an approximate index is tuned, and as many others on whom it is measured."""


class Indexing:
    """The items of a model as vectors, or as codes, and its users as what those are compared with.

    Args:
        model: ranks by one inner product per item, or by a sum over slots.
        data: whose users an approximate index is tuned on.

    Raises:
        GenrecError: if it ranks otherwise.
    """

    def __init__(self, model: RankingModule, data: SequenceData) -> None:
        identifier: Any = model.identifier
        if model.backbone is None or not isinstance(identifier, InnerProducts | CodeSums):
            raise GenrecError(
                f"{model.method} ranks items neither by one inner product each nor by a sum over their codes, so there "
                "is nothing to index: recommend without an index"
            )
        self.model = model
        self.data = data
        self.identifier: InnerProducts | CodeSums = identifier
        self.backbone = model.backbone

    def items(self) -> Tensor:
        """The items from the current tables: vectors [N, d], or codes [N, m]."""
        identifier = self.identifier
        return identifier.item_codes()[0] if isinstance(identifier, CodeSums) else identifier.item_vectors()

    def users(self, histories: Tensor) -> Tensor:
        """The users of histories [B, T]: their vectors [B, d], or their numbers for the codes [B, m, size]."""
        identifier, memory = self.identifier, self.model.read(histories)
        asked = identifier.user_scores if isinstance(identifier, CodeSums) else identifier.user_vectors
        return asked(self.backbone, memory)

    def check(self, kind: Kind) -> None:
        """Whether the method has an index of a kind.

        Raises:
            GenrecError: if not.
        """
        if isinstance(self.identifier, CodeSums) and kind != "exact":
            raise GenrecError(
                f"{self.model.method} scores an item by a sum over its codes, and an index of codes compares every "
                "item: give `exact`"
            )

    def build(
        self, kind: Kind, k: int, recall: float = RECALL, place: Place | None = None
    ) -> tuple[VectorIndex | CodeIndex, float]:
        """An index of all items, and the share of the true best k that it finds; see `Served.build_index`.

        Args:
            kind: of the index.
            k: what recall is measured at.
            recall: the share that is to be found.
            place: where it is kept, if it was built before, and put.

        Raises:
            GenrecError: if there is no such index.
        """
        if kind not in get_args(Kind) or k < 1 or not 0 < recall <= 1:
            raise GenrecError(
                f"an index is {', '.join(get_args(Kind)[:-1])} or {get_args(Kind)[-1]}, k at least 1 and recall above "
                f"0 and at most 1; got {kind!r:.80}, {k} and {recall}"
            )
        self.check(kind)
        if isinstance(self.identifier, CodeSums):
            return CodeIndex(*self.identifier.item_codes()), 1.0
        vectors = self.items().detach()
        if kind == "exact":
            return VectorIndex(vectors), 1.0
        index = (kept_index.read(place.file(kind), vectors, kind) if place else None) or VectorIndex(vectors, kind)
        k = min(k, len(index))
        if index.tuned is None or index.tuned[:2] != (k, recall):
            users = self._probes()
            index.tune(users[::2], k, recall)
            index.tuned = Tuned(k, recall, index.recall(users[1::2], k))
            if place and place.writes:
                _keep(place.file(kind), index)
        return index, index.tuned.share

    def search(self, index: VectorIndex | CodeIndex, histories: Tensor, k: int, allowed: Tensor) -> Ranking:
        """The ranking of histories [B, T] that an index gives, in candidate sets [C, N]."""
        users = self.users(histories)
        found = [index.search(users, k, each) for each in allowed]
        return Ranking(*(torch.stack(parts) for parts in zip(*found, strict=True)))

    @torch.inference_mode()
    def _probes(self) -> Tensor:
        """Vectors [at most 2 * `PROBES`, d] of users such as will ask, the same ones every time."""
        dataset = self.data.dataset
        known = dataset.train.join(dataset.validation)
        if not len(known):
            known = Ragged.from_lists([[item] for item in range(len(self.model.catalog))])
        drawn = np.random.default_rng(0).permutation(len(known))[: 2 * PROBES]
        size = self.data.rank_batch_size
        batches = (drawn[start : start + size] for start in range(0, len(drawn), size))
        histories = (known.windows(users, known.lengths[users], self.data.max_history) for users in batches)
        return torch.cat([self.users(torch.from_numpy(part).to(self.model.device)) for part in histories])


def _keep(path: Path, index: VectorIndex) -> None:
    """Write an index; one that cannot be kept can be used all the same."""
    try:
        kept_index.write(path, index)
    except OSError as error:
        print(f"`{path}` cannot be written ({error.strerror or error}): the index is not kept", file=sys.stderr)

"""Rows of the result tables that need no language model and no training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genrec.decoding.grounding import top_k
from genrec.evaluation import RankingModule
from genrec.types import Ranking


class Popularity(RankingModule):
    """The same list for everybody: items by how often they occur in the training split.

    Args:
        ks: the cut-offs of the metrics.
        seed: items of equal frequency, all cold ones among them, are ordered at random; this decides how.
    """

    learns = False
    scores: Tensor

    def __init__(self, ks: Sequence[int] = (5, 10), seed: int = 0) -> None:
        super().__init__(ks)
        self.seed = seed

    def setup(self, stage: str) -> None:
        """Count the training split."""
        super().setup(stage)
        frequency = torch.from_numpy(self.dataset.frequency).float()
        ties = torch.rand(len(frequency), generator=torch.Generator().manual_seed(self.seed))
        self.register_buffer("scores", frequency + ties, persistent=False)

    def rank(self, history: Tensor, k: int, allowed: Tensor) -> Ranking:
        """See `RankingModule.rank`."""
        ranking = top_k(self.scores[None], allowed, k)
        return Ranking(*(part.expand(-1, len(history), -1) for part in ranking))

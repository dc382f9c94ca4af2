"""A loss or a score that is no number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn

from genrec.data import Dataset, InMemory, SequenceData
from genrec.decoding import top_k
from genrec.errors import GenrecError
from genrec.evaluation.watch import Watch, refuse_nan
from genrec.recommenders import RankingModule
from genrec.testing import Syncs, quiet_trainer
from genrec.types import Batch, Ranking


class Broken(RankingModule):
    """One number per item, which breaks when it is told to.

    Args:
        loss: how many steps go well.
        scores: validation whose scores are NaN.
    """

    def __init__(self, loss: int = 10**9, scores: int = 10**9) -> None:
        super().__init__(ks=(1, 2))
        self.weights = nn.Parameter(torch.randn(12))
        self.broken_loss, self.broken_scores, self.validations = loss, scores, 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.weights.sum() * (math.inf if self.global_step >= self.broken_loss else 1.0)

    def rank(self, history: Tensor, k: int, allowed: Tensor) -> Ranking:
        scores = self.weights.detach().expand(len(history), -1)
        return top_k(scores * math.nan if self.validations >= self.broken_scores else scores, allowed, k)

    def on_validation_epoch_end(self) -> None:
        self.validations += 1
        super().on_validation_epoch_end()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(module: Broken, dataset: Dataset, folder: Path, **options: Any) -> ModelCheckpoint:
    best = ModelCheckpoint(folder, monitor="val/ndcg@2", mode="max")
    stop = EarlyStopping("val/ndcg@2", mode="max", patience=5)
    options = {"default_root_dir": folder, "enable_checkpointing": True, "callbacks": [best, stop], **options}
    quiet_trainer(**options).fit(module, SequenceData(InMemory(dataset), batch_size=4))
    return best


def test_a_loss_that_is_no_number_ends_the_training_at_the_latest_before_a_validation(
    dataset: Dataset, tmp_path: Path
) -> None:
    module = Broken(loss=3)
    with pytest.raises(GenrecError, match=r"training loss is NaN or infinite since step 4 \(epoch 0\).*learning rate"):
        fit(module, dataset, tmp_path, max_epochs=3)
    assert module.validations == 0
    assert not list(tmp_path.glob("*.ckpt"))


def test_it_ends_as_soon_as_the_trainer_logs(dataset: Dataset, tmp_path: Path) -> None:
    module = Broken(loss=1)
    with pytest.raises(GenrecError, match="since step 2"):
        fit(module, dataset, tmp_path, max_epochs=3, log_every_n_steps=2)
    assert module.global_step == 2


def test_a_training_that_ends_broken_says_so(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match="since step 2"):
        fit(Broken(loss=1), dataset, tmp_path, max_steps=2, callbacks=[])


def test_scores_that_are_no_numbers_are_never_the_best(dataset: Dataset, tmp_path: Path) -> None:
    module = Broken(scores=1)
    with pytest.raises(GenrecError, match=r"a score of an item is NaN \(epoch 1"):
        fit(module, dataset, tmp_path, max_epochs=3)
    (kept,) = tmp_path.glob("*.ckpt")
    assert "epoch=0" in kept.name


@pytest.mark.parametrize("verb", ["test", "predict"])
def test_nothing_is_recommended_by_scores_that_are_no_numbers(dataset: Dataset, tmp_path: Path, verb: str) -> None:
    trainer = quiet_trainer(default_root_dir=tmp_path)
    with pytest.raises(GenrecError, match="NaN"):
        getattr(trainer, verb)(Broken(scores=0), SequenceData(InMemory(dataset)))


def test_scores_may_be_infinite_but_not_nan() -> None:
    refuse_nan(torch.tensor([math.inf, -math.inf]))
    refuse_nan(np.array([1.0]))
    with pytest.raises(GenrecError, match="NaN"):
        refuse_nan(np.array([1.0, math.nan]))


def test_watching_costs_no_step_any_time() -> None:
    watch = Watch()
    with Syncs() as syncs:
        for step in range(3):
            watch.loss(torch.tensor(1.0), step)
            watch.ranking(Ranking(torch.zeros(1, 2, 3).long(), torch.zeros(1, 2, 3)), torch.ones(1, 3).bool(), "X")
            watch.validation_loss(torch.tensor(1.0))
    assert not syncs.counts

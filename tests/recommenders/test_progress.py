"""What an identifier is told of the training: how far it is, when a step was made, when to make its tables anew."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from genrec.assets import Assets, TfidfText
from genrec.backbones import T5Backbone
from genrec.data import Dataset, InMemory, SequenceData
from genrec.identifiers.tables import table
from genrec.recommenders.optimizers import share_done
from genrec.recommenders.recommender import Recommender
from genrec.testing import quiet_trainer
from genrec.testing.tiny import T5
from genrec.training.callbacks import Continuation
from genrec.types import Tokens

from ..identifiers.slots import Slots


class Told(Slots):
    """Reads histories as rows of a table that `index` makes of the parameters, and averages them without a gradient."""

    average: Tensor

    def setup(self, catalog: Any, assets: Any, backbone: Any) -> None:
        self.seen: list[float] = []
        self.steps: list[float] = []
        self.modes: list[bool] = []
        self.register_buffer("average", torch.zeros(backbone.width))
        super().setup(catalog, assets, backbone)

    def index(self, catalog: Any, assets: Any) -> None:
        super().index(catalog, assets)
        self.modes.append(self.training)
        self.rows = table(self.table.detach()[torch.arange(self.slots), self.codes.long()].mean(1))
        torch.rand(3)  # tables may be drawn

    def embed(self, items: Tensor) -> Tokens:
        if self.training:
            self.seen.append(self.progress)
        tokens = super().embed(items)
        return Tokens(tokens.embeds + self.rows[items.clamp(min=0)] + self.average, tokens.mask, tokens.sets)

    def after_step(self) -> None:
        self.steps.append(self.progress)
        self.average.lerp_(self.table.mean((0, 1)), 0.1)


def fit(
    dataset: Dataset, folder: Path, batch_size: int, accumulate: int, checkpoint: Path | None = None
) -> tuple[Recommender, Told]:
    """Two epochs of 32 samples; what is left of them after a checkpoint."""
    torch.manual_seed(0 if checkpoint is None else 1)
    identifier = Told()
    assets = Assets(text=TfidfText(dim=8), root=str(folder / "assets"))
    module = Recommender(identifier, T5Backbone(sizes=dict(T5)), assets, ks=(1,))
    names: dict[str, Any] = {"filename": "{step}", "save_top_k": -1, "auto_insert_metric_name": False}
    steps = ModelCheckpoint(folder / f"steps{batch_size}", every_n_train_steps=1, **names)
    epochs = ModelCheckpoint(folder / f"epochs{batch_size}", save_on_train_epoch_end=False, **names)
    trainer = quiet_trainer(
        max_epochs=2,
        accumulate_grad_batches=accumulate,
        callbacks=[Continuation(), steps, epochs],
        enable_checkpointing=True,
        default_root_dir=folder,
    )
    trainer.fit(module, SequenceData(InMemory(dataset), batch_size=batch_size), ckpt_path=checkpoint, weights_only=True)
    assert len(identifier.steps) == trainer.global_step - (0 if checkpoint is None else int(checkpoint.stem))
    return module, identifier


def test_progress_steps_and_tables_of_a_fit_and_of_one_that_is_resumed(dataset: Dataset, tmp_path: Path) -> None:
    whole, told = fit(dataset, tmp_path, 4, 2)
    batches = len(told.seen) // 2
    assert batches >= 6
    # Both batches of a step, and what follows it, are told the same.
    assert told.seen == [(epoch + batch // 2 * 2 / batches) / 2 for epoch in (0, 1) for batch in range(batches)]
    assert told.steps == told.seen[::2]
    steps = len(told.steps)
    assert not any(told.modes[1:]), "tables are made as for an evaluation"

    # After an epoch, whose validation has made the tables of the next one.
    resumed, again = fit(dataset, tmp_path, 4, 2, tmp_path / "epochs4" / f"{steps // 2}.ckpt")
    assert again.seen == told.seen[batches:]
    assert (again.modes[0], again.modes[1]) == (True, False), "set up, and made anew before the first step"
    assert all(part.training for part in resumed.modules())
    state = resumed.state_dict()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, state[name]), name

    # In the middle of an epoch, with other batches.
    _, again = fit(dataset, tmp_path, 8, 1, tmp_path / "steps4" / "2.ckpt")
    assert again.seen[0] == pytest.approx(told.seen[4])
    assert again.seen == again.steps == sorted(again.seen)


def trainer(**values: Any) -> Any:
    usual = {"max_epochs": -1, "max_steps": -1, "current_epoch": 0, "global_step": 0, "accumulate_grad_batches": 1}
    return SimpleNamespace(**{**usual, "num_training_batches": 10, **values})


@pytest.mark.parametrize(
    ("values", "batch", "share"),
    [
        ({"max_epochs": 4, "current_epoch": 1}, 5, 1.5 / 4),
        ({"max_epochs": 4, "current_epoch": 1, "accumulate_grad_batches": 4}, 7, 1.4 / 4),
        ({"max_steps": 50, "global_step": 20}, 3, 20 / 50),
        ({"max_epochs": 4, "current_epoch": 1, "max_steps": 20, "global_step": 15}, 5, 15 / 20),
        ({"max_epochs": None}, 5, 0),
        ({"max_epochs": -1}, 5, 0),
        ({"max_epochs": 2, "current_epoch": 1, "num_training_batches": float("inf")}, 500, 1 / 2),
        ({"max_steps": 10, "global_step": 11}, 0, 1),
    ],
)
def test_the_share_of_a_training_that_is_done(values: dict[str, Any], batch: int, share: float) -> None:
    made: L.Trainer = trainer(**values)
    assert share_done(made, batch) == pytest.approx(share)

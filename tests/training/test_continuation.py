"""A fit that is resumed ends where the same fit without a break ends, to the last bit."""

from __future__ import annotations

import json
import shutil
import signal
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import polars as pl
import pytest
import torch
import yaml
from torch import Tensor

from genrec.cli import main
from genrec.data import Catalog, Dataset, InMemory, Ragged, SequenceData
from genrec.errors import GenrecError
from genrec.runs.layout import BEST, CHECKPOINTS, LAST
from genrec.testing import quiet_trainer
from genrec.training.callbacks.continuation import Continuation
from genrec.types import Batch

from ..pair import run_pair
from .killed import LAST_STEP, Learned
from .killed import fit as fit_alone

QUICK = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.max_epochs=2"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config whose fit keeps a copy of every `last.ckpt` in `kept/`."""
    monkeypatch.chdir(tmp_path)
    every = {"dirpath": "kept", "save_top_k": -1, "filename": "{step}", "auto_insert_metric_name": False}
    callback = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": every}
    # A T5 draws random numbers in every layer, DreamRec its noise.
    dreamrec = ["data/synthetic.yaml", "backbone/t5_mini.yaml", "identifier/dreamrec.yaml", "trainer/quick.yaml"]
    for model, parts in (("sasrec", ["synthetic_sasrec.yaml"]), ("dreamrec", dreamrec)):
        config: dict[str, Any] = {"compose": parts, "trainer": {"callbacks": [callback]}}
        config["data"] = {"source": {"init_args": {"users": 150, "items": 140}}, "max_history": 6}
        config["assets"] = {"cf": {"init_args": {"max_epochs": 2}}}
        (tmp_path / f"{model}.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def fit(model: str, *more: str) -> dict[str, Any]:
    """The last checkpoint of a new run."""
    before = set(Path(f"runs/{model}").glob("*"))
    main(["fit", "--config", f"{model}.yaml", *QUICK, *more])
    (run,) = set(Path(f"runs/{model}").glob("*")) - before
    assert {path.name for path in (run / CHECKPOINTS).iterdir()} == {BEST, LAST}
    return dict(torch.load(run / CHECKPOINTS / LAST, weights_only=True))


@pytest.mark.parametrize(("model", "interval"), [("sasrec", 1.0), ("sasrec", 0.4), ("dreamrec", 0.5)])
def test_a_resumed_fit_is_the_same_fit(here: Path, model: str, interval: float) -> None:
    more = [f"--trainer.val_check_interval={interval}", "--data.batch_size=32"]
    whole = fit(model, *more)
    kept = sorted((here / "kept").iterdir(), key=lambda path: int(path.stem))
    assert len(kept) > 1 / interval
    for checkpoint in kept[:-1]:
        shutil.copy(checkpoint, "killed.ckpt")
        with warnings.catch_warnings(record=True) as said:
            resumed = fit(model, *more, "--ckpt_path=killed.ckpt")
        assert not [warning for warning in said if "resumable" in str(warning.message)]
        assert resumed["global_step"] == whole["global_step"] > torch.load(checkpoint, weights_only=True)["global_step"]
        for name, value in whole["state_dict"].items():
            torch.testing.assert_close(resumed["state_dict"][name], value, rtol=0, atol=0, equal_nan=True)


def test_other_seeds_are_other_fits(here: Path) -> None:
    """What the test above compares does depend on the random numbers."""
    first, second = (fit("sasrec", f"--seed_everything={seed}")["state_dict"] for seed in (1, 2))
    assert not all(torch.equal(first[name], second[name]) for name in first)


# With other batches: the samples of an epoch are learned once, wherever it was broken off


class Recorder(L.LightningModule):
    """Remembers which samples were learned."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.begun: list[list[tuple[int, int]]] = []
        self.learned: dict[int, list[tuple[int, int]]] = {}
        self.ended = False

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.begun.append(list(zip(batch.users.tolist(), batch.target.tolist(), strict=True)))
        return self.weight * 1.0

    def optimizer_step(self, *args: Any, **options: Any) -> None:
        super().optimizer_step(*args, **options)
        self.learned.setdefault(self.current_epoch, []).extend(pair for batch in self.begun for pair in batch)
        self.begun = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 1.0)
        self.steps = int(self.trainer.estimated_stepping_batches)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.schedule, "interval": "step"}}


class KilledError(Exception):
    """The process is no more."""


class Killer(L.Callback):
    """Writes a checkpoint at the end of a batch or of a validation, then the process dies."""

    def __init__(self, path: Path, batch: int, hook: str) -> None:
        self.path, self.batch, self.hook = path, batch, hook

    def _kill(self, trainer: L.Trainer, hook: str) -> None:
        if hook == self.hook and trainer.fit_loop.epoch_loop.total_batch_idx >= self.batch:
            trainer.save_checkpoint(self.path)
            raise KilledError

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._kill(trainer, "batch")

    def on_validation_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._kill(trainer, "validation")

    def on_train_epoch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._kill(trainer, "epoch")


def fifty() -> Dataset:
    lists = Ragged.from_lists([[user % 7] * (user % 5 + 2) for user in range(50)])
    once = Ragged.from_lists([[0]] * 50)
    return Dataset(
        "fifty", Catalog(pl.DataFrame({"item": list("abcdefg")})), list(map(str, range(50))), lists, once, once
    )


def learn(folder: Path, batch_size: int, accumulation: int, checkpoint: str | None = None, *kills: Killer) -> Recorder:
    module = Recorder()
    trainer = quiet_trainer(
        max_epochs=2,
        accumulate_grad_batches=accumulation,
        val_check_interval=0.5,
        callbacks=[Continuation(), *kills],
        default_root_dir=folder,
    )
    data = SequenceData(InMemory(fifty()), batch_size=batch_size, samples="windows")
    with suppress(KilledError):
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    module.ended = trainer.current_epoch == 2
    return module


@pytest.mark.parametrize("hook", ["batch", "validation", "epoch"])
@pytest.mark.parametrize("batch", [0, 4, 11, 14])
@pytest.mark.parametrize("after", [[(2, 4)], [(8, 2), (3, 1)]])
def test_other_batches_go_on_with_the_samples_that_are_left(
    tmp_path: Path, hook: str, batch: int, after: list[tuple[int, int]]
) -> None:
    geometries = [(4, 3), *after]
    parts = []
    checkpoint = None
    for place, (batch_size, accumulation) in enumerate(geometries):
        path = tmp_path / f"{place}.ckpt"
        kills = [Killer(path, batch + 3 * place, hook)] if place < len(geometries) - 1 else []
        parts.append(learn(tmp_path, batch_size, accumulation, checkpoint, *kills))
        if not path.exists():
            break  # it ended before it could be killed
        checkpoint = str(path)
    everybody = sorted(pair for pair in zip(range(50), (user % 7 for user in range(50)), strict=True))
    for epoch in (0, 1):
        assert sorted(pair for part in parts for pair in part.learned.get(epoch, [])) == everybody
    assert parts[-1].ended
    if parts[-1].learned:
        assert parts[-1].schedule.last_epoch == parts[-1].steps, "the learning rate has come to its end"


def test_an_epoch_of_other_samples_is_no_epoch_to_go_on_with(tmp_path: Path) -> None:
    learn(tmp_path, 4, 1, None, Killer(tmp_path / "killed.ckpt", 3, "batch"))
    trainer = quiet_trainer(max_epochs=2, callbacks=[Continuation()], default_root_dir=tmp_path)
    data = SequenceData(InMemory(fifty()), batch_size=4)
    with pytest.raises(GenrecError, match="50 training samples, and there are 200 now"):
        trainer.fit(Recorder(), data, ckpt_path=tmp_path / "killed.ckpt", weights_only=True)


@pytest.mark.slow
def test_killed_in_two_processes_and_resumed_in_one_with_smaller_batches(here: Path) -> None:
    """What everybody does after out-of-memory: no sample of the epoch is lost, none is learned twice."""
    assert run_pair(str(Path(__file__).with_name("killed.py")), str(here)) == [-signal.SIGKILL, -signal.SIGKILL]
    checkpoints = sorted(here.glob("*.ckpt"), key=lambda path: int(path.stem))
    assert [path.stem for path in checkpoints] == [str(step + 1) for step in range(LAST_STEP)]
    learned = [json.loads(line) for rank in (0, 1) for line in (here / f"learned.{rank}").read_text().splitlines()]
    assert len(learned) == 2 * LAST_STEP
    data = fit_alone(here, 8, 1, Learned(here / "learned.one"), checkpoints[-2])
    resumed = [json.loads(line) for line in (here / "learned.one").read_text().splitlines()]
    assert resumed[0][0] == LAST_STEP - 1
    assert len(resumed) > len(learned), "batches are small"
    # The last step was not in the checkpoint: it is done again.
    users = [user for step, users in learned if step < LAST_STEP - 1 for user in users]
    users += [user for _, users in resumed for user in users]
    assert sorted(users) == np.flatnonzero(data.dataset.train.lengths > 1).tolist()

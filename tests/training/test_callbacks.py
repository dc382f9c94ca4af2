from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import (
    EarlyStopping,
    ModelCheckpoint,
    RichModelSummary,
    RichProgressBar,
    TQDMProgressBar,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader

from genrec.recommenders.epoch_lines import EpochLines
from genrec.training.callbacks import ModelSummary, Stopping, Throughput, with_ours

SCORES = [0.1, 0.3, 0.2, 0.4]


class Counting(L.LightningModule):
    """Its loss is the number of batches it has seen, its score the next of `SCORES`."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.register_buffer("batches", torch.tensor(0.0))
        self.validations = 0
        self.score: float | None = None

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.batches += 1
        return self.weight.sum() * 0 + self.batches

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", self.batches / 8)

    def on_validation_epoch_end(self) -> None:
        self.log("val/ndcg@10", SCORES[self.validations] if self.score is None else self.score)
        self.validations += 1

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(module: Counting, folder: Path, resume: str | None = None, **options: Any) -> ModelCheckpoint:
    mode = options.pop("mode", "max")
    best = ModelCheckpoint(folder, "best", monitor="val/ndcg@10", mode=mode, enable_version_counter=False)
    last = ModelCheckpoint(folder, "last", enable_version_counter=False)
    options = {"max_epochs": 2, "enable_progress_bar": False, "num_sanity_val_steps": 0, **options}
    trainer = L.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_model_summary=False,
        callbacks=[best, EpochLines(), last, *options.pop("callbacks", [])],
        **options,
    )
    data = DataLoader(torch.zeros(4, 1), batch_size=1)  # type: ignore[arg-type]
    trainer.fit(module, data, data, ckpt_path=resume)
    return best


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was printed, without the seconds."""
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert all(re.search(r", \d+ s$", line) for line in found)
    return [line.rpartition(", ")[0] for line in found]


def test_every_validation_has_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(Counting(), tmp_path)
    # Batches 1 to 4 and 5 to 8.
    first, second = (1 + 2 + 3 + 4) / 4, (5 + 6 + 7 + 8) / 4
    assert lines(capsys) == [
        f"epoch 1: train/loss {first:.3f}, val/loss 0.500, val/ndcg@10 0.1000 (best)",
        f"epoch 2: train/loss {second:.3f}, val/loss 1.000, val/ndcg@10 0.3000 (best)",
    ]


def test_only_the_best_so_far_is_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(Counting(), tmp_path, max_epochs=4)
    assert [line.endswith("(best)") for line in lines(capsys)] == [True, True, False, True]
    fit(Counting(), tmp_path, max_epochs=4, mode="min")
    assert [line.endswith("(best)") for line in lines(capsys)] == [True, False, False, False]


@pytest.mark.parametrize("patience", [1, 2])
def test_an_early_stop_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], patience: int) -> None:
    fit(Counting(), tmp_path, max_epochs=4, callbacks=[EarlyStopping("val/ndcg@10", mode="max", patience=patience)])
    told = "stopped: val/ndcg@10 was no better in 1 validation" in capsys.readouterr().out.splitlines()
    assert told == (patience == 1), "the third is no better, the fourth is"


def test_a_resumed_fit_knows_its_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(Counting(), tmp_path)
    lines(capsys)
    module = Counting()
    module.validations = 2
    fit(module, tmp_path, str(tmp_path / "last.ckpt"), max_epochs=4)
    third, fourth = lines(capsys)
    assert third == "epoch 3: train/loss 10.500, val/loss 1.500, val/ndcg@10 0.2000"
    assert fourth.endswith("0.4000 (best)")


def test_lines_of_parts_of_epochs_and_of_training_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(Counting(), tmp_path, max_epochs=1, val_check_interval=3)
    assert lines(capsys) == [
        "epoch 0.75: train/loss 2.000, val/loss 0.375, val/ndcg@10 0.1000 (best)",
        "epoch 1: train/loss 4.000",
    ]


def test_accumulated_batches_and_the_sanity_check_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(Counting(), tmp_path, max_epochs=1, accumulate_grad_batches=2, num_sanity_val_steps=1)
    assert lines(capsys) == ["epoch 1: train/loss 2.500, val/loss 0.500, val/ndcg@10 0.3000 (best)"]


@pytest.mark.parametrize("terminal", [True, False])
def test_lines_take_the_place_of_a_bar_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    bar = RichProgressBar()
    fit(Counting(), tmp_path, enable_progress_bar=True, callbacks=[bar])
    assert bar.is_enabled is terminal
    assert len(lines(capsys)) == (0 if terminal else 2)


def test_a_bar_that_was_asked_for_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bar = TQDMProgressBar()
    fit(Counting(), tmp_path, enable_progress_bar=True, callbacks=[bar])
    assert bar.is_enabled
    assert "train/loss" not in capsys.readouterr().out, "no lines between the bar's"


def test_the_summary_is_about_parameters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = Counting()
    module.layer = nn.Linear(99, 10).requires_grad_(False)
    trainer = L.Trainer(logger=False, accelerator="cpu", max_steps=0, enable_progress_bar=False)
    trainer.callbacks[:] = with_ours(trainer.callbacks)  # type: ignore[attr-defined]
    assert [type(callback) for callback in trainer.callbacks[-2:]] == [Throughput, EpochLines]  # type: ignore[attr-defined]
    assert sum(isinstance(callback, RichModelSummary) for callback in trainer.callbacks) == 1  # type: ignore[attr-defined]
    assert any(isinstance(callback, ModelSummary) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    ModelSummary().on_fit_start(trainer, module)
    said = capsys.readouterr().out
    assert re.search(r"layer .*Linear .*1\.0 K", said)
    assert f"parameters: 1.0 K ({(99 * 10 + 10 + 3) * 4 / 1e6:.1f} MB), 3 of them trained" in said
    assert "FLOPs" not in said


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (3, 5)])
def test_a_training_that_stopped_goes_on_with_more_patience_alone(
    patience: int, epochs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(patience: int, resume: str | None = None) -> float:
        module = Counting()
        # Worse than the best from now on.
        module.score = 0.0 if resume else None
        stopping = Stopping("val/ndcg@10", mode="max", patience=patience)
        fit(module, tmp_path, resume, callbacks=[stopping], max_epochs=9)
        return float(module.batches) / 4

    assert run(1) == 3
    assert run(patience, str(tmp_path / "last.ckpt")) == epochs
    times = "1 validation" if patience == 1 else f"{patience} validations"
    assert capsys.readouterr().out.splitlines()[-1] == f"stopped: val/ndcg@10 was no better in {times}"


def test_a_training_that_comes_to_its_end_after_a_stop_has_not_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(Counting(), tmp_path, callbacks=[Stopping("val/ndcg@10", mode="max", patience=1)], max_epochs=4)
    assert "stopped: " in capsys.readouterr().out
    more = Stopping("val/ndcg@10", mode="max", patience=3)
    fit(Counting(), tmp_path, str(tmp_path / "last.ckpt"), callbacks=[more], max_epochs=4)
    assert "stopped: " not in capsys.readouterr().out

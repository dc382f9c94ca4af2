"""What stands beside a training: one callback a file."""

from __future__ import annotations

from collections.abc import Sequence

import lightning as L
from lightning.pytorch.callbacks import RichModelSummary

from genrec.recommenders.epoch_lines import EpochLines
from genrec.training.callbacks.continuation import Continuation
from genrec.training.callbacks.final_validation import FinalValidation
from genrec.training.callbacks.last_checkpoint import LastCheckpoint
from genrec.training.callbacks.predictions import PredictionWriter
from genrec.training.callbacks.save_config import SaveConfig
from genrec.training.callbacks.stopping import Stopping
from genrec.training.callbacks.summary import ModelSummary
from genrec.training.callbacks.throughput import Throughput

__all__ = [
    "Continuation",
    "FinalValidation",
    "LastCheckpoint",
    "ModelSummary",
    "PredictionWriter",
    "SaveConfig",
    "Stopping",
    "Throughput",
    "with_ours",
]


def with_ours(callbacks: Sequence[L.Callback]) -> list[L.Callback]:
    """Callbacks of a trainer, our summary in the place of Lightning's, and behind them those that every run has."""
    summary = [ModelSummary() if type(callback) is RichModelSummary else callback for callback in callbacks]
    return [*summary, FinalValidation(), Continuation(), Throughput(), EpochLines()]

"""A SASRec that tells which users of a shop it has learned from: ``killed.py FOLDER``, run by two processes.

Both kill themselves in the middle of the first epoch, behind the checkpoint ``FOLDER/<step>.ckpt`` of every step.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint

from genrec.data import InMemory, SequenceData
from genrec.data.sources.synthetic import Synthetic
from genrec.recommenders.sasrec import SASRec
from genrec.training.callbacks.continuation import Continuation

LAST_STEP = 3


class Learned(L.Callback):
    """Writes down whom every batch held; kills the process that comes to a batch it is not to see."""

    def __init__(self, file: Path, end: int | None = None) -> None:
        self.file = file
        self.end = end

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write, or kill."""
        if trainer.global_step == self.end:
            os.kill(os.getpid(), signal.SIGKILL)
        users = batch.users.tolist() if batch.examples else []
        with self.file.open("a") as file:
            file.write(json.dumps([trainer.global_step, users]) + "\n")


def fit(folder: Path, batch_size: int, devices: int, learned: Learned, ckpt_path: Path | None = None) -> SequenceData:
    """Train for one epoch."""
    data = SequenceData(InMemory(Synthetic(users=150, items=60).load("data")), batch_size=batch_size, samples="users")
    every = ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=1, auto_insert_metric_name=False)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=devices,
        max_epochs=1,
        limit_val_batches=0,
        callbacks=[learned, Continuation(), every],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(SASRec(dim=8, ks=(5,)), data, ckpt_path=ckpt_path)
    return data


if __name__ == "__main__":
    out = Path(sys.argv[1])
    fit(out, 16, 2, Learned(out / f"learned.{os.environ['RANK']}", LAST_STEP))

"""What a checkpoint keeps beside model and optimiser, so that a killed fit loses nothing."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch

from genrec.data.module import Batches
from genrec.types import Batch


class Continuation(L.Callback):
    """Lets a resumed fit go on as if it had never stopped: with the batch and the random numbers that were next.

    Checkpoints keep how many batches of the epoch are done, and the state of the random numbers; the order of the
    batches is a function of the epoch (`genrec.data.samplers`). Several processes go on with the next batch, but draw
    anew: the first one writes the checkpoint, and the others are not to draw the same.
    """

    def __init__(self) -> None:
        self._batches = 0
        self._kept: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Batches of this epoch, and the state of the CPU and of every GPU."""
        gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {"batches": self._batches, "cpu": torch.get_rng_state(), "gpus": gpus}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Wait until everything is set up, which draws as well."""
        self._kept = state_dict

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Go on where the checkpoint was written."""
        kept, self._kept = self._kept, None
        if kept is None:
            return
        # Lightning would do it through the loader's own state, but not for a module that has asked how many steps there
        # will be, as a schedule of the learning rate does.
        assert isinstance(trainer.train_dataloader, Batches)
        trainer.train_dataloader.first = kept["batches"] % int(trainer.num_training_batches)
        if trainer.world_size == 1:
            torch.set_rng_state(kept["cpu"].cpu())
            if len(kept["gpus"]) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all([state.cpu() for state in kept["gpus"]])

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count."""
        self._batches = batch_idx + 1

"""A validation where a training ends."""

from __future__ import annotations

from typing import Any

import lightning as L


class FinalValidation(L.Callback):
    """Validates what a training ends with, also where it ends in the middle of an epoch or of several."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember when it would be validated."""
        self._usual = trainer.check_val_every_n_epoch, trainer.val_check_batch

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Let Lightning validate after this batch, if it is the last one of all."""
        if _ends(trainer):
            trainer.check_val_every_n_epoch, trainer.val_check_batch = 1, 1

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the trainer as it was."""
        trainer.check_val_every_n_epoch, trainer.val_check_batch = self._usual


def _ends(trainer: L.Trainer) -> bool:
    steps, epochs = trainer.max_steps, trainer.max_epochs or -1
    if trainer.global_step >= steps > 0 or (trainer.should_stop and trainer.fit_loop._can_stop_early):
        return True
    return trainer.is_last_batch and trainer.current_epoch + 1 >= epochs > 0

"""The training ends early where validation is no better any more."""

from __future__ import annotations

from typing import Any

import lightning as L
from jsonargparse.typing import final
from lightning.pytorch.callbacks import EarlyStopping


@final
class Stopping(EarlyStopping):
    """Lightning's, as a key of the command line that may be null; a training goes on with the patience that is given.

    Lightning takes that of the checkpoint, and trains an epoch more where the training had stopped already.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `EarlyStopping.load_state_dict`."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Train no more after a stop, but with more patience than there was."""
        if self.stopping_reason_message is None:
            return
        if self.wait_count >= self.patience:
            trainer.should_stop = True
        else:
            self.stopped_epoch, self.stopping_reason_message = 0, None

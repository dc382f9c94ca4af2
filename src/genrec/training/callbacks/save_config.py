"""The whole config of a run, in its folder."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import yaml
from lightning.pytorch.cli import SaveConfigCallback

from genrec.config.settings import flat
from genrec.io.files import write_text
from genrec.recommenders.base import RankingModule
from genrec.runs.layout import CONFIG


class SaveConfig(SaveConfigCallback):
    """Writes the whole config into a new run's folder; a run that is resumed keeps the one it started with.

    Loggers have it as hyper-parameters.

    A method that has nothing to train is in its run by its config alone: for it, a test is where a run starts.
    """

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """See `SaveConfigCallback.save_config`."""
        assert isinstance(pl_module, RankingModule)
        if stage != "fit" and pl_module.learns:
            return
        path = Path(trainer.default_root_dir) / CONFIG
        text = self.parser.dump(self.config, skip_none=False)
        if not path.exists():
            write_text(path, text)
        if stage == "fit":
            for logger in trainer.loggers:
                logger.log_hyperparams(flat(yaml.safe_load(text)))

"""Lightning's trainer as the command line makes it."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import lightning as L
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.strategies import DDPStrategy

from genrec.errors import GenrecError

LoggerName = Literal["csv", "tensorboard", "wandb", "mlflow"]
USUAL: tuple[LoggerName, ...] = ("csv", "tensorboard")
PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "16-true")
"""Those that Lightning allows with parameters that are shared out."""


class Trainer(L.Trainer):
    """Lightning's trainer, with loggers that have names, and one more entry point.

    Keys that are a number of batches or a share of them are named again, whole numbers first: typing remembers unions
    whatever their order, so that of Lightning's own it depends on what else was imported whether 1 is read as 1.0, all.
    """

    def __init__(
        self,
        *,
        logger: LoggerName | list[LoggerName | Logger] | Logger | bool | None = None,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        overfit_batches: int | float = 0.0,
        val_check_interval: int | float | str | timedelta | dict[str, int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            logger=logger,  # type: ignore[arg-type] # names are made loggers before
            limit_train_batches=limit_train_batches,
            limit_val_batches=limit_val_batches,
            limit_test_batches=limit_test_batches,
            limit_predict_batches=limit_predict_batches,
            overfit_batches=overfit_batches,
            val_check_interval=val_check_interval,
            **kwargs,
        )

    def prepare(self, model: L.LightningModule, datamodule: L.LightningDataModule) -> None:
        """Load the data and build every asset that the model asks for, without training."""
        model.trainer = self
        self.datamodule = datamodule
        datamodule.prepare_data()
        datamodule.setup("fit")
        model.setup("fit")


def make_loggers(asked: Any, run: Path, fits: bool) -> Any:
    """Loggers of a run in the place of their names, as a trainer takes them.

    Args:
        asked: a value of `Trainer`'s ``logger``; None and True are `USUAL`.
        run: the folder of the run.
        fits: whether it is trained. Evaluation leaves the curves of the training alone.

    Raises:
        GenrecError: if a logger's package is not installed.
    """
    if asked is False:
        return False
    if asked in (None, True):
        asked = USUAL
    listed = asked if isinstance(asked, list | tuple) else [asked]
    return [
        _named(each, run) if isinstance(each, str) else each for each in listed if fits or not isinstance(each, str)
    ]


def _named(name: str, run: Path) -> Logger:
    config = run.parent.name
    try:
        match name:
            case "csv":
                return CSVLogger(run, "logs")
            case "tensorboard":
                return TensorBoardLogger(run, "tensorboard", version="", default_hp_metric=False)
            case "wandb":
                # A run that is resumed has the same number, and goes on there as well.
                return WandbLogger(f"{config}/{run.name}", run, f"{config}-{run.name}", project="genrec")
            case _:
                # Where no server is named, one file for all runs: `mlflow ui --backend-store-uri sqlite:///runs/mlflow.db`.
                server = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{run.parents[1] / 'mlflow.db'}")
                return MLFlowLogger(config, run.name, server)
    except ModuleNotFoundError as error:
        raise GenrecError(f"the logger `{name}` needs a package that is not there: pip install {name}") from error


def strategy_of(name: Any, precision: Any) -> Any:
    """What the short names of strategies stand for; any other is passed on to Lightning.

    Raises:
        GenrecError: if the strategy cannot be had in this precision.
    """
    if name == "ddp":
        # What a buffer holds is the same everywhere: nothing to send in every step.
        return DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)
    if name != "fsdp":
        return name
    if str(precision) not in (*PRECISIONS, "None", "32", "bf16"):
        known = ", ".join(PRECISIONS)
        raise GenrecError(f"`trainer.strategy: fsdp` has no `trainer.precision: {precision}`: give one of {known}")
    from genrec.recommenders.sharding import FullySharded  # takes a second

    return FullySharded()

"""What the libraries below say to their own developers, silenced, so that the rest is read."""

from __future__ import annotations

import io
import logging
import sys
import threading
import warnings
from collections.abc import Callable

from genrec.io.disk import cannot_write

NOISE = (
    "GPU available: ",
    "TPU available: ",
    "Loading `train_dataloader` to estimate",
    "Seed set to ",
    "Tip: For seamless",
)
"""Parts of messages. That a GPU is there and not used is a warning of its own; the seed is in the run's config."""
LOGGERS = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed")


def quieten() -> None:
    """Silence messages, warnings and progress bars that nobody can act upon, and print every line when it is whole."""
    # We do hand over arguments beside those of the process: the same ones, with their configs composed.
    warnings.filterwarnings("ignore", "LightningCLI's args parameter")
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")
    warnings.filterwarnings("ignore", "Couldn't infer the batch indices")
    # The interval counts steps, not the batches of an epoch: nothing is lost.
    warnings.filterwarnings("ignore", "The number of training batches .* is smaller than the logging interval")
    # They are, in a way of our own (`genrec.training.callbacks.continuation`).
    warnings.filterwarnings("ignore", "You're resuming .* your dataloader is not resumable")
    # MLflow has no `@` in its names.
    warnings.filterwarnings("ignore", "MLFlow only allows .* in metric name")
    # It is that of a run that is resumed.
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    # A test has no use for the states of the training's callbacks.
    warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need to be provided")
    # Metrics are sums over all processes before they are logged, the same on each.
    warnings.filterwarnings("ignore", "It is recommended to use .*sync_dist=True")
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_worth_reading)
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    # Bars of files that are read take a moment; those of downloads, which are switched off with them, do not.
    downloads = not are_progress_bars_disabled()
    disable_progress_bar()
    if downloads:
        enable_progress_bars()
    if threading.excepthook is not _of_thread:
        _before.append(threading.excepthook)
        threading.excepthook = _of_thread
    # In a file or a pipe, lines would wait for kilobytes of others.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


_before: list[Callable[[threading.ExceptHookArgs], object]] = []


def _of_thread(arguments: threading.ExceptHookArgs) -> None:
    """A logger's thread meets a full disk as we do, who say it in one line."""
    if not cannot_write(arguments.exc_value):
        _before[-1](arguments)


def _worth_reading(record: logging.LogRecord) -> bool:
    return not any(noise in record.getMessage() for noise in NOISE)

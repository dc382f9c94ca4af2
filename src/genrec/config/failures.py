"""What can go wrong in other people's code while a command runs, in one line for those who gave it."""

from __future__ import annotations

import re
import traceback
from argparse import ArgumentError

import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from genrec.config.complaints import explain
from genrec.errors import GenrecError

OUT_OF_MEMORY = (
    "out of memory: in training, lower `data.batch_size` (and raise `trainer.accumulate_grad_batches` as much: a step "
    "stays the same) or `data.max_history`; in ranking, `data.rank_batch_size`"
)
_REASONS = re.compile(r"Errors:\n(.*?)(?=\n *Given value type|\Z)", re.DOTALL)
"""What a parser says of a class that may be missing, and could not be made."""
_CONNECTOR = "lightning.pytorch.trainer.connectors.checkpoint_connector"
_READS = ("resume_start", "_restore_modules_and_callbacks", "restore_training_state")
_PACKAGE = re.compile(r"given class_path '[\w.]*?(\w+)':\s+Requirement '([\w-]+)[^']*' not met")


def one_line(error: Exception) -> str:
    """What an exception says, without line breaks."""
    return " ".join(str(error).split())


def explained(error: Exception) -> str | None:
    """The line; None for what nobody can help by other keys."""
    if isinstance(error, GenrecError):
        return str(error)
    if isinstance(error, ArgumentError):
        return explain(error)
    if missing := _PACKAGE.search(str(error)):
        return f"`{missing[1]}` needs a package that is not there: pip install {missing[2]}"
    if reason := _reason(str(error)):
        return reason
    if out_of_memory(error):
        return OUT_OF_MEMORY
    if "can't allocate memory" in str(error):
        return f"{OUT_OF_MEMORY}; the sizes of the model count too ({one_line(error)[-120:]})"
    # The latter knows how many batches there are only when a training begins.
    if isinstance(error, MisconfigurationException) or "`val_check_interval`" in str(error):
        return one_line(error)
    if "loading state_dict" in str(error):
        return (
            "the checkpoint was made with other settings than this config's; the config.yaml of its run has them "
            f"({one_line(error)[:200]} ...)"
        )
    if _restoring(error):
        return (
            "the checkpoint was not written by genrec, or was changed since: take another one "
            f"({type(error).__name__}: {one_line(error)[:200]})"
        )
    return None


def out_of_memory(error: Exception) -> bool:
    """Whether a device, or this machine, had no room for what was to be computed."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def _restoring(error: Exception) -> bool:
    """Whether it comes from where Lightning reads a checkpoint, or gives a callback its state again."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__") == _CONNECTOR and frame.f_code.co_name in _READS for frame in frames)


def constructing(error: Exception) -> str | None:
    """The line for what went wrong while the classes of a config were made: their arguments are to blame."""
    wrong = isinstance(error, ValueError | TypeError | ArithmeticError | RuntimeError)
    return explained(error) or (f"a class cannot be made with these keys: {one_line(error)}" if wrong else None)


def _reason(said: str) -> str | None:
    """The innermost of several reasons, each in a line, for which a class could not be made."""
    found = _REASONS.search(said[said.rfind("Errors:\n") :] if "Errors:\n" in said else "")
    reasons = [line.strip().removeprefix("- ") for line in found[1].splitlines()] if found else []
    return next((line for line in reasons if "<class 'NoneType'>" not in line), None)

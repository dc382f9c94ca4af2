"""What can go wrong in other people's code while a command runs, in one line for those who gave it."""

from __future__ import annotations

import re

import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from genrec.arguments import explain

OUT_OF_MEMORY = (
    "out of memory: in training, lower `data.batch_size` (and raise `trainer.accumulate_grad_batches` as much: a step "
    "stays the same) or `data.max_history`; in ranking, `data.rank_batch_size`"
)
_PACKAGE = re.compile(r"given class_path '[\w.]*?(\w+)':\s+Requirement '([\w-]+)[^']*' not met")


def one_line(error: Exception) -> str:
    """What an exception says, without line breaks."""
    return " ".join(str(error).split())


def explained(error: Exception) -> str | None:
    """The line; None for what nobody can help by other keys."""
    if type(error).__name__ == "ArgumentError":
        return explain(str(error))
    if missing := _PACKAGE.search(str(error)):
        return f"`{missing[1]}` needs a package that is not there: pip install {missing[2]}"
    if isinstance(error, torch.OutOfMemoryError):
        return OUT_OF_MEMORY
    if isinstance(error, MisconfigurationException):
        return one_line(error)
    if "loading state_dict" in str(error):
        return (
            "the checkpoint was made with other settings than this config's; the config.yaml of its run has them "
            f"({one_line(error)[:200]} ...)"
        )
    return None

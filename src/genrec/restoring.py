"""Checkpoints, read without running what they ask for: tensors and plain data, or one sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genrec.errors import GenrecError


def read(path: Path, whole: bool = True) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU.

    Args:
        path: the file.
        whole: read all of it; otherwise its tensors stay in the file until they are used.

    Raises:
        GenrecError: if it is missing, damaged, no checkpoint, or asks for more than plain data.
    """
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=None if whole else True)
    except FileNotFoundError as error:
        raise GenrecError(f"there is no checkpoint file `{path}`: train with `genrec fit` first") from error
    except Exception as error:  # a broken file can raise almost anything
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f", but asks for {asked[1]} when it is read, which genrec refuses" if asked else ", or not a whole one"
        raise GenrecError(f"`{path}` is not a checkpoint{reason}") from error
    weights = contents.get("state_dict") if isinstance(contents, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise GenrecError(f"`{path}` is not a checkpoint of genrec: it holds no `state_dict` of tensors")
    return contents

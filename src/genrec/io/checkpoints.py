"""Checkpoints, read without running what they ask for: tensors and plain data, or one sentence."""

from __future__ import annotations

import re
import zipfile
from functools import lru_cache
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
        if _unpacks(path):
            raise GenrecError(f"`{path}` is not a checkpoint: parts of it take more room than the file, as in none")
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=None if whole else True)
        about = path.stat()
        damaged = _damaged(path, about.st_size, about.st_mtime_ns)
    except GenrecError:
        raise
    except FileNotFoundError as error:
        raise GenrecError(f"there is no checkpoint file `{path}`: train with `genrec fit` first") from error
    except Exception as error:  # a broken file can raise almost anything
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f", but asks for {asked[1]} when it is read, which genrec refuses" if asked else ", or not a whole one"
        raise GenrecError(f"`{path}` is not a checkpoint{reason}") from error
    if damaged:
        raise GenrecError(f"`{path}` is damaged: `{damaged}` in it is not what was written; take another checkpoint")
    weights = contents.get("state_dict") if isinstance(contents, dict) else None
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(weight, Tensor) for name, weight in weights.items()
    ):
        raise GenrecError(f"`{path}` is not a checkpoint of genrec: it holds no `state_dict` of tensors")
    return contents


def _unpacks(path: Path) -> bool:
    """Whether a file has parts that take more room when they are read."""
    with zipfile.ZipFile(path) as file:
        return any(part.compress_type != zipfile.ZIP_STORED for part in file.infolist())


@lru_cache
def _damaged(path: Path, size: int, time: int) -> str | None:
    """The part of a checkpoint whose checksum is another one than when it was written; torch does not always look.

    Of a file of this size and time it is asked several times in a command.
    """
    with zipfile.ZipFile(path) as file:
        return file.testzip()

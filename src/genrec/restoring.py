"""Checkpoints, read without running what they ask for: tensors and plain data, or one sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from genrec.data import SequenceData
from genrec.data.origin import Origin
from genrec.errors import GenrecError
from genrec.evaluation import RankingModule


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


def adopt(model: RankingModule, data: SequenceData, path: Path) -> list[str]:
    """Number the items of data as in the training of a checkpoint, if they have changed since.

    Args:
        model: what is evaluated with it.
        data: their items get the rows that their keys had then; those that came since stand behind.
        path: the checkpoint.

    Returns:
        what has changed.

    Raises:
        GenrecError: if items went, or came to a model that knows no others, or those are told otherwise that it reads.
    """
    origin = Origin.read(read(path, whole=False))
    changed = origin.changes(data.dataset) if origin else []
    if not origin or not changed:
        return []
    came = len(data.dataset.catalog) - len(origin.keys)
    if origin.missing(data.dataset) or (came and not model.extends) or (model.extends and origin.retold(data.dataset)):
        _refuse(path, changed)
    data.dataset = origin.renumbered(data.dataset)
    data.origin = origin
    return changed


def check_same(data: SequenceData, path: Path) -> None:
    """Refuse to go on with a training on other data.

    Raises:
        GenrecError: if the data of a checkpoint have changed.
    """
    origin = Origin.read(read(path, whole=False))
    if origin and (changed := origin.changes(data.dataset)):
        _refuse(path, changed)


def _refuse(path: Path, changed: list[str]) -> NoReturn:
    raise GenrecError(
        f"`{path}` was trained on other data: {', '.join(changed)}; give the data that it was trained on, or train "
        "again"
    )

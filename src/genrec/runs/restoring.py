"""Checkpoints of runs: which one a training goes on from, and whether the data are still those that it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import lightning as L
from torch import Tensor

from genrec.data import SequenceData
from genrec.data.origin import Origin
from genrec.errors import GenrecError
from genrec.io.checkpoints import read
from genrec.recommenders import RankingModule
from genrec.runs import layout


def is_whole(path: Path) -> bool:
    """Whether a file is a checkpoint, and not damaged."""
    try:
        read(path, whole=False)
    except GenrecError:
        return False
    return True


def to_resume(run: Path) -> tuple[Path | None, list[Path]]:
    """The checkpoint that a training goes on from: its last one, or else the newest that is whole.

    Args:
        run: its folder.

    Returns:
        the checkpoint, if there is one; and those that are newer, and damaged.
    """
    last = run / layout.CHECKPOINTS / layout.LAST
    damaged: list[Path] = []
    if not last.exists():
        return None, []
    found = sorted(last.parent.glob("*.ckpt"), key=lambda path: (path == last, path.stat().st_mtime_ns), reverse=True)
    for path in found:
        if _can_go_on(path):
            return path, damaged
        damaged.append(path)
    return None, damaged


def _can_go_on(path: Path) -> bool:
    """Whether a checkpoint is whole, and more than parameters."""
    try:
        return "optimizer_states" in read(path, whole=False)
    except GenrecError:
        return False


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
    origin, changed = _compare(data, path)
    if not changed:
        return []
    came = len(data.dataset.catalog) - len(origin.keys)
    if origin.missing(data.dataset) or (came and not model.extends) or (model.extends and origin.retold(data.dataset)):
        _refuse(path, changed)
    data.dataset = origin.renumbered(data.dataset)
    data.origin = origin
    return changed


def check_state(trainer: L.Trainer, path: Path) -> None:
    """Whether a checkpoint says how far its training had come, in the way in which a trainer does that goes on.

    Lightning takes what it finds, and passes over what is missing.

    Raises:
        GenrecError: naming what is missing, or of another type.
    """
    contents = read(path, whole=False)
    loop: dict[str, Any] = trainer.fit_loop.state_dict()
    fresh: dict[str, Any] = {"epoch": 0, "global_step": 0, "loops": {"fit_loop": loop}, "optimizer_states": []}
    kept = contents.get("callbacks")
    there = kept if isinstance(kept, dict) else {}
    # Others may have come since the training.
    always = [each for each in trainer.callbacks if each.state_key in there or getattr(each, "always_kept", False)]  # type: ignore[attr-defined]
    states = {each.state_key: each.state_dict() for each in always}
    fresh["callbacks"] = {key: state for key, state in states.items() if state}
    if wrong := _unlike(contents, fresh):
        raise GenrecError(f"`{path}` is not a checkpoint to go on from: `{wrong}` is missing or no such thing")


def _unlike(kept: Any, fresh: Any) -> str | None:
    """The keys to what is missing in a state, or of another type than in a fresh one; None if nothing is."""
    if isinstance(fresh, dict):
        if not isinstance(kept, dict):
            return ""
        for key, value in fresh.items():
            if key not in kept or (wrong := _unlike(kept[key], value)) is not None:
                return ".".join(filter(None, (str(key), wrong if key in kept else "")))
        return None
    if fresh is None and isinstance(kept, str):  # why it stopped
        return None
    if fresh is None or isinstance(fresh, Tensor):  # such as the best value, before there is one
        return None if kept is None or isinstance(kept, Tensor | float) else ""
    return None if type(kept) is type(fresh) and not (type(kept) is int and kept < 0 <= fresh) else ""


def check_same(data: SequenceData, path: Path) -> None:
    """Refuse to go on with a training on other data.

    Raises:
        GenrecError: if the data of a checkpoint have changed.
    """
    _, changed = _compare(data, path)
    if changed:
        _refuse(path, changed)


def _compare(data: SequenceData, path: Path) -> tuple[Origin, list[str]]:
    """What a checkpoint was trained on, and what data have otherwise."""
    try:
        origin = Origin.read(read(path, whole=False))
    except GenrecError as error:
        raise error if str(path) in str(error) else GenrecError(f"`{path}`: {error}") from error
    changed = origin.changes(data.dataset)
    data.compared = True
    return origin, changed


def _refuse(path: Path, changed: list[str]) -> NoReturn:
    raise GenrecError(
        f"`{path}` was trained on other data: {', '.join(changed)}; give the data that it was trained on, or train "
        "again"
    )

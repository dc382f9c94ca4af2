"""A recommender without a trainer: set up on data, with the weights and the arguments that a checkpoint holds."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from genrec.data import SequenceData
from genrec.errors import GenrecError
from genrec.recommenders.measured import Measured

ARGUMENTS = "arguments"
"""Where a checkpoint holds `arguments_of`."""


@dataclass(frozen=True)
class Place:
    """What a module asks of a trainer when it is set up.

    Args:
        datamodule: the data.
        world_size: processes.
    """

    datamodule: SequenceData
    world_size: int = 1


def set_up(model: Measured, data: SequenceData) -> None:
    """Create the parameters of a module; assets that are not in the store are built now."""
    # Who reads our output must find there what he asked for, not what had to be built for it.
    with redirect_stdout(sys.stderr):
        model._trainer = Place(data)  # type: ignore[assignment]
        model.setup("predict")
        model._trainer = None
    model.eval()


def load_weights(model: Measured, weights: Mapping[str, Tensor], file: Path) -> None:
    """Give a module its weights, and bring the tables that depend on them up to date.

    Raises:
        GenrecError: if they are those of another model.
    """
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise GenrecError(f"`{file}` was made with other settings than those beside it ({reason} ...)") from error
    with redirect_stdout(sys.stderr):
        model.refresh()


def arguments_of(model: Measured) -> dict[str, Any]:
    """The arguments of a module's constructor, as far as its attributes of their names tell them.

    Returns:
        ``values``, the numbers, texts and lists of such; and ``objects``, the names of the others that are not what
        they are when nobody gives them.
    """
    values: dict[str, Any] = {}
    objects: list[str] = []
    for name, parameter in _parameters(type(model)).items():
        value = getattr(model, name, inspect.Parameter.empty)
        if _is_plain(value):
            values[name] = list(value) if isinstance(value, tuple) else value
        elif value is not parameter.default or value is inspect.Parameter.empty:
            objects.append(name)
    return {"values": values, "objects": objects}


def arguments_for(cls: type, kept: Any, given: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """What a constructor is called with: what a checkpoint kept, and the objects that nobody can keep.

    Args:
        cls: of the module.
        kept: `arguments_of`; from anybody's file.
        given: what wins.
        file: the checkpoint, for errors.

    Raises:
        GenrecError: naming the objects that have to be given, or what is no argument.
    """
    known = _parameters(cls)
    values = kept.get("values") if isinstance(kept, dict) else None
    objects = kept.get("objects") if isinstance(kept, dict) else None
    if not isinstance(values, dict) or not isinstance(objects, list):
        raise GenrecError(f"`{file}` does not say what {cls.__name__} was made with: train again")
    values = {**values, **given}
    if unknown := [str(name) for name in (*values, *objects) if name not in known]:
        raise GenrecError(f"{cls.__name__} of `{file}` has no argument `{unknown[0]:.80}`: is it of another class?")
    if wrong := [name for name in values if name not in given and not _is_plain(values[name])]:
        raise GenrecError(f"`{file}`: `{wrong[0]}` is neither a number nor a text")
    needed = [name for name, parameter in known.items() if parameter.default is inspect.Parameter.empty]
    if missing := [name for name in known if name in (*objects, *needed) and name not in values]:
        raise GenrecError(
            f"a checkpoint holds no objects: give {', '.join(f'{name}=' for name in missing)} as in the training of "
            f"`{file}`"
        )
    return values


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Of the constructor; a module that is shared out among processes has one that makes the class."""
    _, *parameters = inspect.signature(cls.__init__).parameters.items()  # type: ignore[misc]
    return dict(parameters)


def _is_plain(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, bool | int | float | str)
        or (isinstance(value, list | tuple) and all(map(_is_plain, value)))
    )

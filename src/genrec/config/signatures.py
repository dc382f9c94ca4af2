"""Classes that a config can name: their arguments, what is below them, and why one cannot be imported."""

from __future__ import annotations

import difflib
import inspect
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch

_VALUES = (int, float, bool, str, type(None), list, dict, tuple, torch.Tensor)


def type_hints(cls: type) -> dict[str, Any]:
    """The types that a class's own constructor names; none if it names what is imported for type checkers alone."""
    # What makes the constructor of a data class leaves the names of its parents' modules as they are written there.
    made = is_dataclass(cls) and vars(cls)["__dataclass_params__"].init
    with suppress(NameError, AttributeError, TypeError):
        return get_type_hints(cls if made else cls.__init__)  # type: ignore[misc]
    return {}


def parameters(cls: Any) -> dict[str, Any]:
    """The arguments of a class with their types; those that it passes on with ``**kwargs`` are its parents'."""
    found: dict[str, Any] = {}
    for each, named in _signatures(cls):
        hints = type_hints(each)
        found = {**{name: hints.get(name, Any) for name in named}, **found}
    return found


def default(cls: Any, name: str) -> Any:
    """What a class takes for an argument that is not given; None if there is no such argument, or it must be given."""
    for _, named in _signatures(cls):
        if name in named:
            value = named[name].default
            return None if value is inspect.Parameter.empty else value
    return None


def _signatures(cls: Any) -> Iterator[tuple[type, dict[str, inspect.Parameter]]]:
    """The classes whose constructors a call goes through, the lowest first, with the arguments that each names."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for each in inspect.getmro(cls):
        if "__init__" in vars(each):
            signature = inspect.signature(vars(each)["__init__"]).parameters
            yield each, {name: taken for name, taken in list(signature.items())[1:] if taken.kind not in kinds}
            if not any(taken.kind == kinds[1] for taken in signature.values()):
                return


def nearest(name: str, known: Sequence[str]) -> str:
    """A question for the nearest name that there is; empty if none is near."""
    by_lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean `{by_lower[near[0]]}`?" if near else ""


def all_subclasses(cls: Any) -> Iterator[Any]:
    """Every class below one, at any depth."""
    for subclass in cls.__subclasses__():
        yield subclass
        yield from all_subclasses(subclass)


def named_classes(hint: Any) -> Iterator[type]:
    """The classes in a type hint that can be named, at any depth."""
    for part in get_args(hint) or [hint]:
        if isinstance(part, list) or get_args(part):
            yield from (each for inner in (part if isinstance(part, list) else [part]) for each in named_classes(inner))
        elif inspect.isclass(part) and part not in _VALUES:
            yield part


def only_class(hint: Any) -> type | None:
    """The class that a type hint names, where it names one alone."""
    named = list(named_classes(hint))
    return named[0] if len(named) == 1 else None


def find_class(path: str | None) -> type | None:
    """A class of an imported module."""
    module, _, name = (path or "").rpartition(".")
    found = getattr(sys.modules.get(module), name, None) if module else None
    return found if inspect.isclass(found) else None


def looked_for(module: str) -> str:
    """Where a module was looked for, and what else there may be to do."""
    near = [path for path in (Path(f"{module.partition('.')[0]}.py"),) if path.is_file()]
    hint = f", where {near[0]} does not import" if near else ""
    return (
        f"looked for in the working folder {Path.cwd()}{hint}, and among the installed packages: run the command in "
        "the folder that has it, or put that folder into PYTHONPATH"
    )


def cause(error: BaseException, said: str = "") -> str:
    """What went wrong while a module was imported, with the line of the file where it did.

    Args:
        error: it, or one that was raised from it.
        said: by the parser, which does not hand over the errors of all that it tried.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    if said and str(error) not in said:
        return said
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    # Nearest to where it was raised, in a file that is neither a library's nor ours.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_of_parser(frame.filename)]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


def was_imported(error: BaseException) -> bool:
    """Whether an error comes out of a module while it was imported by a parser."""
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, SyntaxError) or any(frame.name == "import_object" for frame in frames)


def _is_of_parser(file: str) -> bool:
    parts = Path(file).parts
    return file.startswith("<") or bool({"site-packages", "genrec"} & set(parts))

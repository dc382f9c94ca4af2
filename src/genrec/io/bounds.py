"""How large a model may be: its weights have to be in a file that is there.

A config is a few bytes, and what it asks for may be more than a machine has. Parameters are counted when a module gets
them, which is before they are filled and so before they take memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import hf_hub_download
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from genrec.errors import GenrecError

SPARE = 2**22
"""Numbers that are never too many."""
ENTRY = 32
"""What a parameter counts beside its numbers: its entry in a file has as many bytes at least."""
DENSEST = 4
"""Numbers that a byte of a language model's files can hold, where they have 2 bits."""

_counting: list[object] = []
"""Who counts; only the last one does."""


@contextmanager
def at_most(numbers: Callable[[], int], what: str) -> Iterator[None]:
    """Refuse to make modules of more than so many numbers.

    Args:
        numbers: is asked when the first module is made; a `SPARE` comes to it.
        what: they are to be in, for the error.

    Raises:
        GenrecError: where a module gets one parameter too many.
    """
    counted: dict[int, nn.Parameter] = {}
    used, room = 0, -1

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal used, room
        if _counting[-1] is not counted or parameter is None or id(parameter) in counted:
            return
        # Kept, so that no other gets its id.
        counted[id(parameter)] = parameter
        used += parameter.numel() + ENTRY
        room = numbers() + SPARE if room < 0 else room
        if used > room:
            raise GenrecError(f"the model has {used:,} numbers or more, which {what} cannot hold: its sizes are wrong")

    _counting.append(counted)
    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
        _counting.pop()


@contextmanager
def lifted() -> Iterator[None]:
    """Let modules be made that are no part of the model whose parameters are counted."""
    _counting.append(None)
    try:
        yield
    finally:
        _counting.pop()


def room_of(name: str) -> int:
    """The numbers that the files of a language model can hold, once they were fetched.

    Args:
        name: its folder, or its name on the hub.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = Path(hf_hub_download(name, "config.json", local_files_only=True)).parent
    return DENSEST * sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

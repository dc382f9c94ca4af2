"""The start of a command, without what Lightning and torchmetrics would import that no command needs."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import Any
from unittest.mock import patch

UNUSED = ("matplotlib", "scipy", "transformers")
"""Packages that torchmetrics imports wherever they are there: a quarter of the seconds and memory of a start."""
COMPILER = "torch._dynamo"
"""Lightning imports it to ask whether a module was compiled: as much again."""


@contextmanager
def light_metrics() -> Iterator[None]:
    """Whoever asks Lightning's own helpers whether a package of `UNUSED` is there hears no.

    Only where the process is ours: in a notebook, torchmetrics can plot.
    """
    from lightning_utilities.core import imports

    available, met = imports.package_available, imports.RequirementCache.__bool__

    def is_there(name: str) -> bool:
        return name not in UNUSED and available(name)

    def is_met(cache: imports.RequirementCache) -> bool:
        return (cache.requirement or "").split(">")[0] not in UNUSED and met(cache)

    with (
        patch.object(imports, "package_available", is_there),
        patch.object(imports.RequirementCache, "__bool__", is_met),
    ):
        yield


@contextmanager
def quick_imports() -> Iterator[None]:
    """Lightning without the compiler, as long as nobody compiles; and no looking for garbage: what is made stays.

    Nor later: a look at a million objects takes a fifth of a second, and a command would take five of them.
    """
    collects, first = gc.isenabled(), "lightning" not in sys.modules
    gc.disable()
    try:
        _import_lightning()
        yield
    finally:
        if first:
            gc.freeze()
        if collects:
            gc.enable()


def _import_lightning() -> None:
    if COMPILER in sys.modules or "lightning" in sys.modules:
        return
    sys.modules[COMPILER] = _Later(COMPILER)
    with suppress(ImportError):  # of a version that asks for more than the stand-in has
        import_module("lightning.pytorch")
    del sys.modules[COMPILER]
    import_module("lightning.pytorch")


class _Compiled(type):
    """The type of a class whose instances are those of the compiler's own, if that is there."""

    def __instancecheck__(cls, module: object) -> bool:
        compiler = sys.modules.get(COMPILER)
        return compiler is not None and isinstance(module, compiler.OptimizedModule)


class _OptimizedModule(metaclass=_Compiled):
    """What a module is asked whether it is one of."""


class _Later(ModuleType):
    """A stand-in for the compiler, with what Lightning asks for while it is imported."""

    OptimizedModule = _OptimizedModule

    @staticmethod
    def disable(function: Callable[..., Any], recursive: bool = True, **options: Any) -> Callable[..., Any]:
        """The function, which the compiler leaves alone."""
        import torch

        alone = torch._disable_dynamo(function, recursive)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return (alone if torch.compiler.is_compiling() else function)(*args, **kwargs)

        return call

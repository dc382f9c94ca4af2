"""How often a piece of code makes the host wait for the device, counted on any device."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = frozenset(
    {
        "_local_scalar_dense",  # .item(), int(tensor), bool(tensor), if tensor:
        "nonzero",
        "masked_select",
        "_unique2",
        "unique_dim",
        "unique_consecutive",
        "equal",
        "is_nonzero",
    }
)
"""Operators whose result, or its shape, the host has to read."""


class Syncs(TorchDispatchMode):
    """Counts the operators that read a result back: each one makes a GPU stand idle.

    >>> with Syncs() as syncs:
    ...     _ = torch.ones(3).sum().item()
    >>> syncs.total
    1

    Args:
        device: only what happens on tensors of this type of device counts; None counts all, as if a CPU were a GPU.

    Attributes:
        counts: how often each operator was called; ``index[bool]`` is a tensor picked by a mask, ``copy`` a tensor that
            goes to the host, ``repeat_interleave`` one by counts of a tensor.
        places: where in our own code, as ``file:line function``; ``elsewhere`` is the optimiser, say.
    """

    def __init__(self, device: str | None = None) -> None:
        super().__init__()
        self.device = device
        self.counts: Counter[str] = Counter()
        self.places: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """All of them."""
        return self.counts.total()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Look at an operator before it runs."""
        name = _waits(func, args, kwargs or {})
        if name and self.device in (None, args[0].device.type):
            self.counts[name] += 1
            self.places[_caller()] += 1
        return func(*args, **(kwargs or {}))


def _waits(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    name = func.overloadpacket.__name__
    if name in WAITING:
        return str(name)
    if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
        masks = [index for index in args[1] if isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)]
        # A mask takes a value in its place without anybody counting; picked, or given many values, it is counted.
        whole = name != "index" and args[2].numel() == 1 and len(args[1]) == 1
        return f"{name}[bool]" if masks and not whole else None
    if name == "repeat_interleave" and kwargs.get("output_size") is None:
        return "repeat_interleave"
    if name == "_to_copy" and args[0].device.type != "cpu" and kwargs.get("device") == torch.device("cpu"):
        return "copy"
    return None


def _caller() -> str:
    frames: list[traceback.FrameSummary] = traceback.extract_stack()
    ours: Callable[[str], bool] = lambda file: "genrec" in file and "testing" not in file  # noqa: E731
    frame = next((frame for frame in reversed(frames) if ours(frame.filename)), None)
    if frame is None:
        return "elsewhere"
    return f"{frame.filename.rpartition('genrec/')[2]}:{frame.lineno} {frame.name}"

"""What depends on the device that computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from genrec.errors import GenrecError

SHORT = (torch.bfloat16, torch.float16)
"""Numbers too short to learn in: a small step does not change them."""

CACHED = 2**22
"""Numbers that are held at once on a CPU: 16 MiB of float32, about what its cache holds."""
MANY = 2**27
"""The same on other devices, which want large products: 512 MiB."""

WHOLE = 2**27
"""Numbers of a table that are made from what learns in one go, on any device: 512 MiB."""


def usable(name: str | torch.device) -> torch.device:
    """A device of this machine.

    Raises:
        GenrecError: if there is none of that name.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise GenrecError(f"there is no device {name!r:.80} here, such as cpu or cuda ({reason:.80})") from error
    return device


def gpu() -> torch.device | None:
    """The GPU of this process, which a trainer or else the launcher of several processes has chosen; None without."""
    if not torch.cuda.is_available():
        return None
    chosen = torch.cuda.current_device() or int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count()
    return torch.device("cuda", chosen)


def held_at_once(device: torch.device) -> int:
    """How many numbers a computation that can be cut into parts holds at once."""
    return CACHED if device.type == "cpu" else MANY


def shortens(change: Callable[[Tensor], Tensor]) -> bool:
    """Whether a change of a module's numbers leaves them 16 bits, in which the small steps of a training are lost."""
    return change(torch.empty(0, dtype=torch.float32)).dtype in SHORT


def exact_sizes(device: torch.device) -> bool:
    """Whether a shape may depend on the numbers in a tensor.

    A CPU has them at hand, and does nothing for the sake of a round shape. A GPU would have to finish all that it was
    asked to do before anyone knew them: there, shapes are bounds that are known without looking.
    """
    return device.type == "cpu"


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Products of float32 as they are written, whatever the trainer's precision: no autocast, no TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def widen(numbers: Tensor) -> Tensor:
    """Float32, or more where it is more already."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))

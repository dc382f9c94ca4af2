"""The card: its name, and what it reaches at best, which everything else is held against."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.gpu.shop import Size, card
from genrec.io.versions import versions

LIBRARIES = ("torch", "transformers", "lightning", "peft")


def name() -> str:
    """What everything runs on."""
    return torch.cuda.get_device_name() if card() == "cuda" else platform.processor() or platform.machine()


def measure(size: Size) -> dict[str, Any]:
    """Name, versions, TFLOP/s of large matrix products by precision, GB/s of a copy."""
    n = 512 if size.tiny else 8192
    rates = {"float32": _product(n, torch.float32), "bfloat16": _product(n, torch.bfloat16)}
    if card() == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        rates["tf32"] = _product(n, torch.float32)
        torch.backends.cuda.matmul.allow_tf32 = False
    numbers = torch.randn(n * n * (8 if n > 1000 else 1), device=card())
    copied = torch.empty_like(numbers)
    seconds = timed(lambda: copied.copy_(numbers))
    return {
        "card": name(),
        "memory_gib": torch.cuda.get_device_properties(0).total_memory / 2**30 if card() == "cuda" else None,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions(*LIBRARIES),
        "tflops": rates,
        "copy_gb_per_s": 2 * numbers.nbytes / seconds / 1e9,
    }


def _product(n: int, dtype: torch.dtype) -> float:
    left, right = (torch.randn(n, n, device=card(), dtype=dtype) for _ in range(2))
    return 2 * n**3 / timed(lambda: left @ right) / 1e12


def timed(work: Callable[[], object], repeats: int = 10) -> float:
    """The mean seconds of a call, after three that do not count."""
    for _ in range(3):
        work()
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    wait()
    return (time.perf_counter() - start) / repeats


def wait() -> None:
    """Until all that was asked of the card is done."""
    if card() == "cuda":
        torch.cuda.synchronize()


def peak_gib() -> float | None:
    """The most memory of the card that tensors took since `forget_peak`; None without a card."""
    return torch.cuda.max_memory_allocated() / 2**30 if card() == "cuda" else None


def forget_peak() -> None:
    """Begin anew."""
    if card() == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

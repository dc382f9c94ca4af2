"""Training steps as the trainer makes them: seconds, memory, arithmetic, and how often the host waits."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu import machine, shop
from benchmarks.gpu.shop import Size
from genrec.data import Dataset
from genrec.recommenders.recommender import Recommender
from genrec.testing import Syncs


class Variant(NamedTuple):
    """One way to compute the same steps.

    Args:
        name: what it is called on the page.
        precision: of the trainer.
        rate: the product rate that it is held against, a key of ``tflops``.
        backbone: arguments of the backbone.
        tf32: whether float32 products may be made of tf32.
        counted: whether arithmetic and waits are counted, too; these are the same in every variant.
    """

    name: str
    precision: Any
    rate: str
    backbone: dict[str, Any]
    tf32: bool = False
    counted: bool = False


VARIANTS = {
    "t5": (
        Variant("float32", "32-true", "float32", {"attention": "dense"}, counted=True),
        Variant("tf32", "32-true", "tf32", {"attention": "dense"}, tf32=True),
        Variant("bf16-mixed", "bf16-mixed", "bfloat16", {"attention": "dense"}),
    ),
    "qwen": (
        Variant("bf16-mixed, dense", "bf16-mixed", "bfloat16", {"attention": "dense"}, counted=True),
        Variant("bf16-true, dense", "bf16-true", "bfloat16", {"attention": "dense"}),
    ),
}
COMPILED = (
    ("t5", Variant("bf16-mixed, compiled", "bf16-mixed", "bfloat16", {"attention": "dense", "compile": True})),
    ("qwen", Variant("bf16-mixed, dense, compiled", "bf16-mixed", "bfloat16", {"attention": "dense", "compile": True})),
    ("qwen", Variant("bf16-mixed, flex", "bf16-mixed", "bfloat16", {"attention": "flex"})),
    ("t5", Variant("bf16-mixed, flex, without dropout in it", "bf16-mixed", "bfloat16", {"attention": "flex"})),
)
"""Last of all, and not on a CPU: a compiler for it takes minutes, and FlexAttention learns nothing there."""


class Clock(L.Callback):
    """Seconds and memory of the steps after the warm-up."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.found: dict[str, Any] = {}
        self._targets = 0

    @property
    def steps(self) -> int:
        return self.size.warm_up + self.size.steps

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._begin = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == self.size.warm_up:
            machine.wait()
            self.found["warm_up_seconds"] = time.perf_counter() - self._begin
            machine.forget_peak()
            self._start = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.size.warm_up <= batch_idx < self.steps:
            self._targets += batch.examples
        if batch_idx == self.steps - 1:
            machine.wait()
            seconds = (time.perf_counter() - self._start) / self.size.steps
            targets = self._targets / self.size.steps
            self.found.update(
                step_seconds=seconds, targets=targets, targets_per_s=targets / seconds, peak_gib=machine.peak_gib()
            )


class Look(L.Callback):
    """What the same steps are made of, looked at when they are trained once more: looking slows them down.

    Args:
        size: how many steps.
        counted: whether arithmetic is counted, and the waits of the last step of the warm-up.
    """

    def __init__(self, size: Size, counted: bool) -> None:
        self.size, self.counted = size, counted
        self.found: dict[str, Any] = {}
        self._held = ExitStack()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.counted and batch_idx == self.size.warm_up - 1:
            self._waits = self._held.enter_context(waits())
        if batch_idx == self.size.warm_up:
            machine.wait()
            self._kernels = self._held.enter_context(kernels())
            if self.counted:
                self._counter = self._held.enter_context(FlopCounterMode(display=False))

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.counted and batch_idx == self.size.warm_up - 1:
            self._held.close()
            self.found.update(self._waits)
        if batch_idx == self.size.warm_up + self.size.steps - 1:
            machine.wait()
            self._held.close()
            self.found.update(
                busy_seconds=self._kernels["seconds"] / self.size.steps,
                kernels=self._kernels["count"] / self.size.steps,
                longest={name: each / self.size.steps for name, each in self._kernels["longest"].items()},
            )
            if self.counted:
                self.found["step_tflop"] = self._counter.get_total_flops() / 1e12 / self.size.steps


@contextmanager
def kernels() -> Iterator[dict[str, Any]]:
    """How many seconds the device computes, in how many kernels, and the eight that take longest."""
    found: dict[str, Any] = {}
    on_card = shop.card() == "cuda"
    kind = ProfilerActivity.CUDA if on_card else ProfilerActivity.CPU
    with profile(activities=[kind]) as profiled:
        yield found
    events = profiled.key_averages()
    spent = {event.key: (event.self_device_time_total if on_card else event.self_cpu_time_total) for event in events}
    longest = sorted(spent, key=lambda name: -spent[name])[:8]
    found["seconds"] = sum(spent.values()) / 1e6
    found["count"] = sum(event.count for event in events if spent[event.key])
    found["longest"] = {name[:100]: spent[name] / 1e6 for name in longest}


@contextmanager
def waits() -> Iterator[dict[str, Any]]:
    """How often the host waits, as counted by operators, with their places, and as CUDA itself complains."""
    found: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        if shop.card() == "cuda":
            torch.cuda.set_sync_debug_mode("warn")
        try:
            with Syncs(shop.card()) as syncs:
                yield found
        finally:
            if shop.card() == "cuda":
                torch.cuda.set_sync_debug_mode("default")
    found["waits"] = syncs.total
    found["wait_places"] = dict(syncs.places.most_common(8))
    found["cuda_waits"] = sum("synchronizing" in str(complaint.message) for complaint in complaints)


def steps(size: Size, source: Dataset, scratch: Path, which: str, variant: Variant) -> dict[str, Any]:
    """Train a few steps, with everything that a fit has but its validation; and the same again, to look at them."""
    clock, look = Clock(size), Look(size, variant.counted)
    for callback in (clock, look):
        module = _fit(size, source, scratch, which, variant, callback, clock.steps)
        parameters = sum(part.numel() for part in module.parameters())
        del module
        machine.forget_peak()
    return {"rate": variant.rate, "parameters": parameters, **clock.found, **look.found}


def _fit(
    size: Size, source: Dataset, scratch: Path, which: str, variant: Variant, callback: L.Callback, count: int
) -> Recommender:
    L.seed_everything(0, verbose=False)
    torch.set_float32_matmul_precision("high" if variant.tf32 else "highest")
    make: Callable[..., Any] = {"t5": shop.t5, "qwen": shop.qwen}[which]
    packed = {"samples": "windows"} if which == "qwen" else {}
    loader = shop.data(source, size.packed_batch if packed else size.batch, seed=0, **packed)
    module: Recommender = shop.recommender(shop.setrec(), make(size, **variant.backbone), scratch)
    options: dict[str, Any] = {"precision": variant.precision, "max_steps": count, "limit_val_batches": 0}
    shop.trainer(callbacks=[callback], **options).fit(module, loader)
    return module

"""Training steps as the trainer makes them: seconds, memory, arithmetic, and how often the host waits."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
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
        counted: whether arithmetic and waits are counted, too.
    """

    name: str
    precision: Any
    rate: str
    backbone: dict[str, Any]
    tf32: bool = False
    counted: bool = False


T5 = (
    Variant("float32", "32-true", "float32", {"attention": "dense"}, counted=True),
    Variant("tf32", "32-true", "tf32", {"attention": "dense"}, tf32=True),
    Variant("bf16-mixed", "bf16-mixed", "bfloat16", {"attention": "dense"}),
    Variant("bf16-mixed, flex, without dropout in it", "bf16-mixed", "bfloat16", {"attention": "flex"}),
)
QWEN = (
    Variant("bf16-mixed, dense", "bf16-mixed", "bfloat16", {"attention": "dense"}, counted=True),
    Variant("bf16-mixed, flex", "bf16-mixed", "bfloat16", {"attention": "flex"}),
    Variant("bf16-true, dense", "bf16-true", "bfloat16", {"attention": "dense"}),
)
COMPILED = {
    "t5": Variant("bf16-mixed, compiled", "bf16-mixed", "bfloat16", {"attention": "dense", "compile": True}),
    "qwen": Variant("bf16-mixed, dense, compiled", "bf16-mixed", "bfloat16", {"attention": "dense", "compile": True}),
}
"""Last of all, and not on a CPU: a compiler for it takes minutes."""


class Clock(L.Callback):
    """Seconds and memory of the steps after the warm-up.

    Args:
        size: how many of each.
        counted: the step before the measured ones is looked at by `Syncs` and by CUDA itself, those behind them by a
            counter of arithmetic; both slow down what they look at.
    """

    def __init__(self, size: Size, counted: bool) -> None:
        self.size, self.counted = size, counted
        self.found: dict[str, Any] = {}
        self._targets = 0
        self._looking: Iterator[None] | None = None

    @property
    def steps(self) -> int:
        return self.size.warm_up + self.size.steps + (2 if self.counted else 0)

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
        if self.counted and batch_idx >= self.size.warm_up + self.size.steps:
            self._looking = iter(self._waits() if batch_idx == self.steps - 2 else self._arithmetic())
            next(self._looking)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._looking:
            next(self._looking, None)
            self._looking = None
        if self.size.warm_up <= batch_idx < self.size.warm_up + self.size.steps:
            self._targets += batch.examples
        if batch_idx == self.size.warm_up + self.size.steps - 1:
            machine.wait()
            seconds = (time.perf_counter() - self._start) / self.size.steps
            targets = self._targets / self.size.steps
            self.found.update(
                step_seconds=seconds, targets=targets, targets_per_s=targets / seconds, peak_gib=machine.peak_gib()
            )
        if batch_idx == self.steps - 1:
            trainer.should_stop = True

    def _waits(self) -> Iterator[None]:
        with waits() as counted:
            yield
        self.found.update(counted)

    def _arithmetic(self) -> Iterator[None]:
        counter = FlopCounterMode(display=False)
        with counter:
            yield
        self.found["step_tflop"] = counter.get_total_flops() / 1e12


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
    """Train a few steps, with everything that a fit has but its validation."""
    torch.manual_seed(0)
    L.seed_everything(0, verbose=False)
    torch.set_float32_matmul_precision("high" if variant.tf32 else "highest")
    make: Callable[..., Any] = {"t5": shop.t5, "qwen": shop.qwen}[which]
    packed = {"samples": "windows"} if which == "qwen" else {}
    loader = shop.data(source, size.packed_batch if packed else size.batch, **packed)
    module: Recommender = shop.recommender(shop.setrec(), make(size, **variant.backbone), scratch)
    clock = Clock(size, variant.counted)
    options: dict[str, Any] = {"precision": variant.precision, "max_steps": clock.steps, "limit_val_batches": 0}
    shop.trainer(callbacks=[clock], **options).fit(module, loader)
    parameters = sum(part.numel() for part in module.parameters())
    return {"parameters": parameters, **clock.found}

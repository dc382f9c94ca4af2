"""Ranking: all test users by SETRec and by TIGER's beams, waits of a validation step, and a million items."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning as L
import torch

from benchmarks.gpu import machine, shop
from benchmarks.gpu.shop import Size
from benchmarks.gpu.training import waits
from genrec.data import Dataset
from genrec.identifiers import ItemIdentifier

USERS = 256
"""Who are ranked together over a million items."""


def all_users(size: Size, source: Dataset, scratch: Path, identifier: ItemIdentifier, precision: Any) -> dict[str, Any]:
    """Rank every test user in three candidate sets, twice: the first pass finds its kernels."""
    module = shop.recommender(identifier, shop.t5(size), scratch)
    loader, trainer = shop.data(source, size.batch), shop.trainer(precision=precision)
    for _ in range(2):
        machine.forget_peak()
        trainer.test(module, loader, verbose=False)
    users = int(module.results["all"]["users"])
    seconds = module.rank_seconds
    return {"users": users, "seconds": seconds, "users_per_s": users / seconds, "peak_gib": machine.peak_gib()}


class _Watch(L.Callback):
    """Looks at one validation step, the second."""

    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if batch_idx == 1:
            self._looking = waits()
            self.found = self._looking.__enter__()

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if batch_idx == 1:
            self._looking.__exit__(None, None, None)


def validation(size: Size, source: Dataset, scratch: Path) -> dict[str, Any]:
    """Seconds of a whole validation of SETRec with its ten betas, and the waits of one step."""
    module = shop.recommender(shop.setrec(), shop.t5(size), scratch)
    loader = shop.data(source, size.batch)
    if size.tiny:
        loader.rank_batch_size = 16
    watch = _Watch()
    shop.trainer(precision="bf16-mixed", callbacks=[watch]).validate(module, loader, verbose=False)
    trainer = shop.trainer(precision="bf16-mixed")
    machine.wait()
    start = time.perf_counter()
    trainer.validate(module, loader, verbose=False)
    machine.wait()
    return {"seconds": time.perf_counter() - start, **watch.found}


def many_items(size: Size, scratch: Path) -> dict[str, Any]:
    """Peak memory and seconds of ranking some users over a million items, tables included, and without them."""
    source = shop.dataset(Size(items=size.many, users=2 * USERS, ranked=USERS))
    # Narrow text vectors: those of a million items would take a minute to draw, and ranking does not look at them.
    module = shop.recommender(shop.setrec(), shop.t5(size), scratch, text=64)
    loader, trainer = shop.data(source, size.batch), shop.trainer(precision="32-true")
    machine.forget_peak()
    trainer.test(module, loader, verbose=False)
    whole = machine.peak_gib()
    module.to(shop.card()).eval()
    tables = torch.cuda.memory_allocated() / 2**30 if shop.card() == "cuda" else None
    machine.forget_peak()
    allowed = torch.ones(1, size.many, dtype=torch.bool, device=shop.card())
    history = torch.randint(size.many, (USERS, 10), device=shop.card())
    with torch.inference_mode():
        seconds = machine.timed(lambda: module.rank(history, 10, allowed), 5)
    ranking = machine.peak_gib()
    return {
        "items": size.many,
        "users": USERS,
        "seconds": seconds,
        "test_peak_gib": whole,
        "tables_gib": tables,
        "ranking_peak_gib": None if ranking is None or tables is None else ranking - tables,
    }

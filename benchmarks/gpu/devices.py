"""Whether the card says what the CPU says, and one way of attention what another: small models of every identifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import polars as pl
import torch

from benchmarks.gpu import shop
from benchmarks.gpu.shop import CF_WIDTH, QWEN_TINY, T5_TINY, RandomCodes, Size, normal
from genrec.assets import Assets, LETTERCodes, PQCodes, ReleasedCF, RQVAECodes, TfidfText
from genrec.assets.codes.fitting import Training
from genrec.backbones import Backbone, CausalBackbone, T5Backbone
from genrec.data import Dataset, InMemory, SequenceData, Synthetic
from genrec.identifiers import ItemIdentifier, SETRec
from genrec.recommenders.recommender import Recommender
from genrec_baselines import (
    CID,
    LETTER,
    RPG,
    TIGER,
    BIGRec,
    CodeSet,
    DiffGRM,
    DreamRec,
    E4SRec,
    IDGenRec,
    LCRec,
    SemID,
)

QUICK = Training(steps=30, evaluate_every=15)
PQ = PQCodes(digits=4, size=16, dim=8)
IDENTIFIERS: dict[str, Callable[[], ItemIdentifier]] = {
    "SETRec": SETRec,
    "TIGER": lambda: TIGER(RQVAECodes(training=QUICK)),
    "LETTER": lambda: LETTER(LETTERCodes(size=64, training=QUICK)),
    "CID": CID,
    "SemID": SemID,
    "IDGenRec": IDGenRec,
    "BIGRec": BIGRec,
    "E4SRec": E4SRec,
    "DreamRec": DreamRec,
    "CodeSet": lambda: CodeSet(PQ, PQ),
    "RPG": lambda: RPG(RandomCodes(size=16)),
    "DiffGRM": lambda: DiffGRM(RandomCodes(size=16)),
    "LC-Rec": lambda: LCRec(RQVAECodes(training=QUICK)),
}
BACKBONES: dict[str, Callable[[], Backbone]] = {
    "T5": lambda: T5Backbone(sizes=dict(T5_TINY)),
    "causal, LoRA, packed": lambda: CausalBackbone(sizes=dict(QWEN_TINY), tuning="lora", dtype="bfloat16"),
}
STEPS = 3


def source(size: Size) -> Dataset:
    """The built-in shop, small, with random collaborative vectors."""
    made_up = Synthetic(users=30 if size.tiny else 200, items=150).load("")
    return replace(made_up, cf=normal(len(made_up.catalog), CF_WIDTH))


def compare(dataset: Dataset, scratch: Path, identifier: str, backbone: str) -> dict[str, Any]:
    """Train some steps on the card and rank the test users there and on the CPU, in float32, with the same weights."""
    L.seed_everything(0, verbose=False)
    assets = Assets(TfidfText(dim=16), ReleasedCF(), str(scratch))
    module = Recommender(IDENTIFIERS[identifier](), BACKBONES[backbone](), assets)
    packed: dict[str, Any] = {"samples": "windows", "max_history": 10} if "packed" in backbone else {"max_history": 10}
    # A loader each: a data module belongs to one trainer.
    loaders = [SequenceData(InMemory(dataset), batch_size=16, **packed) for _ in range(3)]
    shop.trainer(precision="bf16-mixed", max_steps=STEPS, limit_val_batches=0).fit(module, loaders[0])
    tables = []
    for place, loader in zip(({}, {"accelerator": "cpu"}), loaders[1:], strict=True):
        shop.trainer(**place).test(module, loader, verbose=False)
        tables.append(module.ranks.collect())
    ranks = [table.select(pl.col("^rank.*$")).fill_null(0).to_numpy() for table in tables]
    return {"targets": len(ranks[0]), "same": float((ranks[0] == ranks[1]).mean())}


class _Gradients(L.Callback):
    """Keeps loss and gradients of the first step."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.loss = float(outputs["loss"])

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        found = {name: part.grad for name, part in pl_module.named_parameters() if part.grad is not None}
        self.found = {name: grad.detach().double().cpu().clone() for name, grad in found.items()}


def attention(dataset: Dataset, scratch: Path, backbone: str) -> dict[str, Any]:
    """Loss and gradients of one step in float32, by dense and by flex attention: how far they are apart."""
    kept = []
    for how in ("dense", "flex"):
        L.seed_everything(0, verbose=False)
        torch.set_float32_matmul_precision("highest")
        model: Backbone
        if backbone == "T5":
            model = T5Backbone(sizes={**T5_TINY, "dropout_rate": 0.0, "d_kv": 16}, attention=how)
        else:
            model = CausalBackbone(sizes={**QWEN_TINY, "hidden_size": 64}, attention=how)
        packed: dict[str, Any] = {} if backbone == "T5" else {"samples": "windows"}
        module = Recommender(SETRec(), model, Assets(TfidfText(dim=16), ReleasedCF(), str(scratch)))
        loader = SequenceData(InMemory(dataset), batch_size=16, seed=0, **packed)
        gradients = _Gradients()
        shop.trainer(max_steps=1, limit_val_batches=0, callbacks=[gradients]).fit(module, loader)
        kept.append(gradients)
    dense, flex = kept
    assert dense.found.keys() == flex.found.keys(), "the same parameters learn"
    apart = sum(float((dense.found[name] - flex.found[name]).square().sum()) for name in dense.found) ** 0.5
    whole = sum(float(grad.square().sum()) for grad in dense.found.values()) ** 0.5
    return {"loss": dense.loss, "loss_apart": abs(dense.loss - flex.loss), "gradients_apart": apart / whole}

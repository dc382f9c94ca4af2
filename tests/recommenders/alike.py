"""What one process and two must do alike: trained, tested and written down, by every process that runs this file.

``alike.py FOLDER STRATEGY ...`` is the only process, or one of those that the environment tells of (`pair`). What
comes out of a case is ``FOLDER/<strategy>-<case>.<rank>.json``, and a checkpoint ``FOLDER/<strategy>-<case>.ckpt``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import lightning as L
import torch
from lightning.pytorch.plugins import DoublePrecision

from genrec import devices
from genrec.assets import Assets, TfidfText
from genrec.backbones import Backbone, CausalBackbone, LoRA, T5Backbone
from genrec.data import Dataset, InMemory, Ragged, SequenceData
from genrec.data.sources.synthetic import Synthetic
from genrec.identifiers import SETRec
from genrec.recommenders.recommender import Recommender
from genrec.training.trainer import strategy_of

BATCH, EPOCHS = 28, 1
CASES = ("t5", "full", "lora")
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4, "dropout_rate": 0}
QWEN = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}


def backbone(case: str, folder: Path) -> Backbone:
    """The language model of a case; adapters are those of a model in ``folder``."""
    if case == "t5":
        return T5Backbone(sizes=dict(T5))
    if case == "lora":
        return CausalBackbone(str(folder / "pretrained"), tuning="lora", lora=LoRA(dropout=0), dtype="bfloat16")
    return CausalBackbone(sizes={**QWEN, "intermediate_size": 64})


def data_of(case: str) -> Dataset:
    """A small shop; that of `t5` has one user to be validated, one to be tested, and nobody for the second process."""
    shop = Synthetic(users=61, items=60).load("data")
    if case != "t5":
        return shop
    validation, test = (
        Ragged.from_lists([list(part[user]) if user == part.lengths.argmax() else [] for user in range(len(part))])
        for part in (shop.validation, shop.test)
    )
    return Dataset(shop.name, shop.catalog, shop.users, shop.train, validation, test)


class NextNumber(L.Callback):
    """Remembers the random number that would be drawn next when the training starts."""

    drawn: float

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """All processes would draw the same from here on."""
        torch.manual_seed(0)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Look, and leave everything as it is."""
        if trainer.global_step == 0:
            with torch.random.fork_rng():
                self.drawn = float(torch.rand(()))


def run(
    case: str, strategy: str, folder: Path, ckpt_path: Path | None = None, epochs: int = EPOCHS, name: str = ""
) -> dict[str, Any]:
    """Train and test, keep a checkpoint, and say what came out."""
    number = NextNumber()
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1 if strategy == "auto" else 2,
        strategy=strategy_of(strategy, "32-true"),
        plugins=DoublePrecision(),
        max_epochs=epochs,
        gradient_clip_val=1.0,
        callbacks=[number],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
    )
    # The parameters are those of the first process, whatever the others have drawn.
    torch.manual_seed(trainer.global_rank)
    data = SequenceData(InMemory(data_of(case)), batch_size=BATCH // trainer.world_size)
    assets = Assets(text=TfidfText(dim=8), root=str(folder / "assets"))
    # Adapters that stand still at first: processes wait for their gradients all the same.
    frozen = 1 if case == "lora" else 0
    module = Recommender(
        SETRec(n_semantic=2, use_cf=False), backbone(case, folder), assets, warmup_steps=2, frozen_steps=frozen
    )
    trainer.fit(module, data, ckpt_path=ckpt_path)
    logged = {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("val/")}
    trainer.save_checkpoint(folder / f"{name or strategy}-{case}.ckpt")
    trainer.test(module, data, verbose=False)
    predicted = trainer.predict(module, data) or []
    ranks = module.ranks.collect().rows()
    # They are there as long as the first process.
    trainer.strategy.barrier()
    return {
        "rank": trainer.global_rank,
        "steps": trainer.global_step,
        "logged": logged,
        "drawn": getattr(number, "drawn", None),
        "results": module.results,
        "ranks": ranks,
        "method": module.method,
        "predicted": sorted(user for batch in predicted for user in batch["users"].tolist()),  # type: ignore[call-overload]
        "users": len(data.dataset.users),
    }


if __name__ == "__main__":
    out = Path(sys.argv[1])
    for strategy in sys.argv[2:]:
        for case in CASES:
            # What one process does with a catalogue as a whole, two do in parts.
            with mock.patch.multiple(devices, WHOLE=0 if case == "full" else devices.WHOLE, CACHED=2**10):
                found = run(case, strategy, out)
            (out / f"{strategy}-{case}.{found['rank']}.json").write_text(json.dumps(found))
    # What one process has begun goes on in two.
    found = run("lora", "fsdp", out, out / "auto-lora.ckpt", EPOCHS + 1, "resumed")
    (out / f"resumed-lora.{os.environ['RANK']}.json").write_text(json.dumps(found))

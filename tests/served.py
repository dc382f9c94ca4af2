"""Runs of untrained recommenders, as `genrec fit` leaves them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
import yaml

from genrec.data.origin import ENTRY
from genrec.recommenders.alone import set_up
from genrec.runs.building import build
from genrec.seeds import closed

QWEN = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 4}
SEED = {"seed_everything": 0}
T5_BACKBONE = {"class_path": "genrec.backbones.T5Backbone", "init_args": {"sizes": T5}}
LORA_BACKBONE = {
    "class_path": "genrec.backbones.CausalBackbone",
    "init_args": {"sizes": QWEN, "tuning": "lora", "lora": {"rank": 2}},
}
SETREC = {"class_path": "genrec.identifiers.SETRec", "init_args": {"n_semantic": 2}}
TIGER = {
    "class_path": "genrec_baselines.TIGER",
    "init_args": {"codes": {"levels": 2, "size": 8, "dim": 4, "training": {"steps": 5}}},
}
BIGREC = {"class_path": "genrec_baselines.BIGRec", "init_args": {"title_tokens": 8, "beams": 2}}
E4SREC = {"class_path": "genrec_baselines.E4SRec"}
DREAMREC = {
    "class_path": "genrec_baselines.DreamRec",
    "init_args": {"dim": 8, "similarity": "cosine", "diffusion": {"steps": 5}},
}


def recommender(identifier: dict[str, Any], backbone: dict[str, Any] = T5_BACKBONE) -> dict[str, Any]:
    return {
        "class_path": "genrec.recommenders.recommender.Recommender",
        "init_args": {"identifier": copy.deepcopy(identifier), "backbone": copy.deepcopy(backbone)},
    }


def make_run(folder: Path, model: dict[str, Any], assets: dict[str, Any] | None = None) -> Path:
    """A run of made-up parameters, below ``folder / "runs"``; the data are made on the spot."""
    run = folder / "runs" / "made_up" / "2026-01-01_00-00-00"
    data = {"class_path": "genrec.data.Synthetic", "init_args": {"users": 150, "items": 140}}
    config = {
        "model": model,
        "data": {"source": data, "root": "data", "max_history": 8, "rank_batch_size": 16},
        "assets": {
            "text": {"class_path": "genrec.assets.TfidfText", "init_args": {"dim": 8}},
            "cf": {"class_path": "genrec.recommenders.SASRecCF", "init_args": {"dim": 8, "max_epochs": 1}},
            "root": str(folder / "data" / "assets"),
            **(assets or {}),
        },
    }
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump({**config, **SEED, "runs": "runs"}))
    made = build(copy.deepcopy(closed(config, SEED)))
    torch.manual_seed(0)
    set_up(made.model, made.data)
    for name, parameter in made.model.named_parameters():
        # New parameters are so small that nothing depends on anything.
        if parameter.ndim == 2 and "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.2)
    checkpoint = {"state_dict": dict(made.model.state_dict()), ENTRY: made.model._trained_on}
    made.model.on_save_checkpoint(checkpoint)
    (run / "checkpoints").mkdir()
    torch.save(checkpoint, run / "checkpoints" / "best.ckpt")
    return run

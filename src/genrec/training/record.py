"""What an evaluation writes down of its run: ``metrics.json`` and ``validation.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import lightning as L

from genrec.config.files import load_config
from genrec.recommenders import RankingModule
from genrec.runs import layout
from genrec.runs.results import environment


def record(
    trainer: L.Trainer,
    model: RankingModule,
    run: Path,
    split: Literal["validation", "test"],
    config: Mapping[str, Any],
    overrides: Sequence[str],
) -> dict[str, Any]:
    """The results of a model's last evaluation, and what they are of.

    Args:
        trainer: what evaluated.
        model: what was evaluated.
        run: its folder.
        split: whose users were ranked.
        config: of the command.
        overrides: what of it is otherwise than in the training (`genrec.runs.reuse.overrides`).
    """
    dataset = model.dataset
    fit, kept = run / layout.FIT, run / layout.CONFIG
    fitted = json.loads(fit.read_text()) if fit.is_file() else {}
    return {
        "dataset": dataset.name,
        "method": model.method,
        "backbone": model.language_model,
        # Of the training, whatever this command was told.
        "seed": (load_config(str(kept)) if kept.is_file() else config).get("seed_everything"),
        "split": split,
        "checkpoint": config.get("ckpt_path"),
        "overrides": overrides,
        "training": fitted.get("training", []),
        "precision": str(trainer.precision),
        "users": int((dataset.targets(split).lengths > 0).sum()),
        "items": int(dataset.candidates.sum()),
        "settings": model.results,
        "parameters": {
            "all": sum(part.numel() for part in model.parameters()),
            "trained": sum(part.numel() for part in model.parameters() if part.requires_grad),
        },
        "seconds": {"fit": fitted.get("seconds"), "rank": model.rank_seconds},
        **environment(),
    }

"""A trainer as the command line makes it, that prints nothing and leaves no files."""

from __future__ import annotations

from typing import Any

import lightning as L


def quiet_trainer(**options: Any) -> L.Trainer:
    """Lightning's trainer on one CPU; `options` win over what is given here."""
    quiet = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
    }
    return L.Trainer(**{**quiet, **options})

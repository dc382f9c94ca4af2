"""Checkpoints that are whole or not there at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from genrec.errors import GenrecError


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and then renames it: until it is whole, the one before it stays."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """See `TorchCheckpointIO.save_checkpoint`."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            torch.save(checkpoint, unfinished)
            os.replace(unfinished, target)
        except (OSError, RuntimeError) as error:
            # On a full disk torch speaks of positions in its container, or of its stream.
            full = "inline_container" in str(error) or "iostream error" in str(error)
            if isinstance(error, RuntimeError) and not full:
                raise
            reason = getattr(error, "strerror", None) or "the disk is full, or a file may not be as large"
            raise GenrecError(f"cannot write `{target}`: {reason}") from error
        finally:
            unfinished.unlink(missing_ok=True)

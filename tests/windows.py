"""Windows of users as the data module packs them."""

from __future__ import annotations

from torch import Tensor

from genrec.data.samples import beginnings
from genrec.recommenders.packing import one_by_one
from genrec.types import PAD, Batch


def packed(batch: Batch, empty_history: bool = True) -> Batch:
    """The batch with all its prefixes."""
    learned = (batch.history != PAD).sum(1).numpy() + empty_history
    return batch._replace(prefixes=beginnings(batch.history.numpy(), learned))


def all_prefixes(batch: Batch, empty_history: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Users and stops of all prefixes, and each as a sample of its own: histories and targets."""
    prefixes = packed(batch, empty_history).prefixes
    assert prefixes is not None
    return (*prefixes, *one_by_one(batch, prefixes))

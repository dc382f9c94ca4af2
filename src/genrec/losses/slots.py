"""Several slots of a few classes each: what a slot says of its classes, and how its right ones are learned.

The letters: m slots, ``size`` classes of a slot. An item has m codes, and slot j is to say code j. So items of product
quantisation are written, all codes at once: RPG, Hou et al., KDD 2025, arXiv 2506.05781.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.devices import full_precision, widen


def slot_log_probs(states: Tensor, tables: Tensor, temperature: float = 1.0) -> Tensor:
    """The log-probabilities of the classes of every slot, in float32 (or more) whatever the trainer's precision.

    Args:
        states: [B, m, d] float, one per slot.
        tables: [m, size, d] float, a row per class of each slot; a class's logit is its product with the slot's state.
            For cosines give both with length 1.
        temperature: logits are divided by it.

    Returns:
        [B, m, size].
    """
    states, tables = widen(states), widen(tables)
    with full_precision(states.device):
        logits = torch.einsum("bmd,msd->bms", states / temperature, tables)
        return logits.log_softmax(2)


def slot_loss(log_probs: Tensor, codes: Tensor, counts: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """The mean over targets of the mean cross-entropy of their slots: scalar.

    What a target adds depends on nothing but itself: also where other slots of it count than of the others.

    Args:
        log_probs: [B, m, size] float.
        codes: [B, m] long, the right classes; any class where the slot does not count.
        counts: [B, m] bool, the slots that count, such as those that are masked; None counts all. A target without
            any adds 0.
        smoothing: the share of a target's weight that is spread evenly over all classes of the slot.
    """
    wrong = F.nll_loss(log_probs.flatten(0, 1), codes.flatten(), reduction="none").view_as(codes)
    if smoothing:
        wrong = torch.lerp(wrong, -log_probs.mean(2), smoothing)
    if counts is None:
        return wrong.mean()
    return ((wrong * counts).sum(1) / counts.sum(1).clamp(min=1)).mean()

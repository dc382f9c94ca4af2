"""What is minimised over many classes, items or words, without ever holding all their logits; and over slots of few."""

from genrec.losses.linear import linear_cross_entropy
from genrec.losses.slots import slot_log_probs, slot_loss

__all__ = ["linear_cross_entropy", "slot_log_probs", "slot_loss"]

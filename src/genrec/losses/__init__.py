"""What is minimised over many classes, items or words, without ever holding all their logits; and over slots of few."""

from genrec.losses.linear import linear_cross_entropy
from genrec.losses.sampled import Drawn, Negatives, sampled_cross_entropy, sampled_totals
from genrec.losses.slots import slot_log_probs, slot_loss
from genrec.losses.totals import classes_at_once, log_totals, logits_of

__all__ = [
    "Drawn",
    "Negatives",
    "classes_at_once",
    "linear_cross_entropy",
    "log_totals",
    "logits_of",
    "sampled_cross_entropy",
    "sampled_totals",
    "slot_log_probs",
    "slot_loss",
]

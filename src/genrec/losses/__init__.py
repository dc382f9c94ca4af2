"""What is minimised over many classes, items or words, without ever holding all their logits."""

from genrec.losses.linear import linear_cross_entropy

__all__ = ["linear_cross_entropy"]

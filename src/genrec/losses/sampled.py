"""Softmax over a few classes that are drawn anew in every step, in the place of all of them.

The sum over all other classes in the denominator is estimated from n that are drawn, each weighed by how often it is
expected among them, n times its probability: importance sampling, Bengio and Senecal, "Adaptive Importance Sampling to
Accelerate Training of a Neural Probabilistic Language Model", IEEE Transactions on Neural Networks, 2008. With the
targets of the batch as what is drawn it is the logQ correction of Yi et al., "Sampling-Bias-Corrected Neural Modeling
for Large Corpus Item Recommendations", RecSys 2019.

The right class is always counted, once and for sure; where it is drawn as well, it is left out. So the estimate of the
sum has no bias. Its logarithm, the loss, is too small on average, by less the more are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from genrec.devices import widen
from genrec.errors import GenrecError
from genrec.losses.totals import classes_at_once, log_totals, logits_of


@dataclass(frozen=True)
class Negatives:
    """Which classes a target is told from in a step of training, instead of all.

    Args:
        kind: ``uniform``, all are equally likely; ``popularity``, as often as they occur in training, those that never
            do as if it were once; ``in_batch``, the other targets of the process's batch.
        number: how many are drawn in a step, for all of its targets together, some perhaps twice; null for
            ``in_batch``.

    Raises:
        GenrecError: if there is no number where one is needed, or one where none is.
    """

    kind: Literal["uniform", "popularity", "in_batch"] = "uniform"
    number: int | None = None

    def __post_init__(self) -> None:
        if self.kind == "in_batch":
            if self.number is not None:
                raise GenrecError(f"`negatives` in_batch are the targets of the batch: leave out number={self.number}")
        elif self.number is None or self.number < 1:
            raise GenrecError(
                f"`negatives` has kind `{self.kind}` and number {self.number}: give how many are drawn, 1 or more"
            )


class Drawn(NamedTuple):
    """The negatives of a step.

    Args:
        classes: [n] long.
        log_counts: [n] float, the logarithm of how often each is expected among them; inf for one that does not count.
    """

    classes: Tensor
    log_counts: Tensor


def sampled_totals(states: Tensor, chosen: Tensor, target: Tensor, rows: Tensor, drawn: Drawn) -> Tensor:
    """The logarithms of the estimated sums of the exponentials of all logits, [R].

    Args:
        states: [R, d] float.
        chosen: [R] float, the logits of the right classes.
        target: [R] long, these classes.
        rows: [n, d] float, the rows of the classes that were drawn.
        drawn: these classes.
    """
    size = classes_at_once(states.device, len(states))
    parts = zip(rows.split(size), drawn.classes.split(size), drawn.log_counts.split(size), strict=True)
    totals = log_totals([partial(_logits, states, target, *part) for part in parts])
    return torch.logaddexp(chosen, totals)


def _logits(states: Tensor, target: Tensor, rows: Tensor, classes: Tensor, log_counts: Tensor) -> Tensor:
    logits = logits_of(states, rows) - log_counts
    # Not infinite: a state whose own class is all that was drawn still has a gradient.
    least = torch.finfo(logits.dtype).min
    return logits.masked_fill(target[:, None] == classes, least).clamp(min=least)


def sampled_cross_entropy(states: Tensor, table: Tensor, target: Tensor, weight: Tensor, drawn: Drawn) -> Tensor:
    """What `linear_cross_entropy` is estimated to be from the classes that were drawn: scalar, float32 or more.

    Args:
        states: [R, D] float.
        table: [n, D] float, a row per class.
        target: [R] long, the right classes; any class where the weight is 0.
        weight: [R] float, what each state counts.
        drawn: the negatives.
    """
    rows = table.index_select(0, torch.cat([target, drawn.classes]))
    right, wrong = rows.split([len(target), len(drawn.classes)])
    chosen = (widen(states) * widen(right)).sum(1)
    return ((sampled_totals(states, chosen, target, wrong, drawn) - chosen) * weight).sum()

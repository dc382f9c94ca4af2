"""A loss or a score that is no number ends a run with a sentence, and costs no step any time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genrec.errors import GenrecError

NEVER = 2**62
REMEDY = (
    "try a smaller learning rate (`model.optimizer.init_args.lr`), `trainer.gradient_clip_val: 1.0`, or more bits "
    "(`trainer.precision: 32-true`)"
)


class Watch:
    """Remembers on the device what went wrong; the host looks now and then, for to look it has to wait."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._first: Tensor | None = None
        self._flaws: dict[str, Tensor] = {}

    def loss(self, loss: Tensor, step: int) -> None:
        """Look at the loss of a training step."""
        broken = torch.where(loss.detach().isfinite(), NEVER, step)
        self._first = broken if self._first is None else torch.minimum(self._first, broken)

    def scores(self, scores: Tensor) -> None:
        """Look at the scores of rankings."""
        self._remember("a score of an item is NaN", scores.isnan().any())

    def validation_loss(self, loss: Tensor) -> None:
        """Look at a loss of the validation."""
        self._remember("the validation loss is NaN or infinite", ~loss.detach().isfinite())

    def _remember(self, what: str, flaw: Tensor) -> None:
        self._flaws[what] = self._flaws[what] | flaw if what in self._flaws else flaw

    def stop_in_training(self, trainer: Any) -> None:
        """Stop if a training loss was no number, in any process.

        Raises:
            GenrecError: if one was.
        """
        if self._first is None:
            return
        first = int(self._first)
        if trainer.strategy.reduce_boolean_decision(first < NEVER, all=False):
            since = f"since step {first}" if first < NEVER else "in another process"
            raise GenrecError(f"the training loss is NaN or infinite {since} (epoch {trainer.current_epoch}): {REMEDY}")

    def stop_at_validation(self, trainer: Any) -> None:
        """Stop if what was measured was no number, in any process.

        Raises:
            GenrecError: if it was not.
        """
        flaws = [what for what, flaw in self._flaws.items() if flaw]
        if trainer.strategy.reduce_boolean_decision(bool(flaws), all=False):
            what = flaws[0] if flaws else "a value is NaN in another process"
            raise GenrecError(f"{what} (epoch {trainer.current_epoch}, step {trainer.global_step}): {REMEDY}")


def refuse_nan(scores: Any) -> None:
    """Refuse to recommend by scores, a tensor or an array, that are no numbers.

    Raises:
        GenrecError: if one is NaN.
    """
    if (scores != scores).any():
        raise GenrecError(
            "the scores of the items are NaN, so nothing can be recommended: the model is broken (its training "
            "diverged?) or overflows in this precision; take another checkpoint, or `trainer.precision: 32-true`"
        )

"""A loss or score that is no number, or a list that is none, ends a run with a sentence, and costs no step any time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genrec.errors import GenrecError
from genrec.evaluation import lists
from genrec.types import Ranking

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
        self._flaws: dict[tuple[str, str], Tensor] = {}

    def loss(self, loss: Tensor, step: int) -> None:
        """Look at the loss of a training step."""
        broken = torch.where(loss.detach().isfinite(), NEVER, step)
        self._first = broken if self._first is None else torch.minimum(self._first, broken)

    def ranking(self, ranking: Ranking, allowed: Tensor, who: str) -> None:
        """Look at the scores and the items of rankings.

        Args:
            ranking: items and scores [..., C, B, k].
            allowed: [C, N] bool, the candidate sets.
            who: the method that ranked.
        """
        self._remember("a score of an item is NaN", REMEDY, ranking.scores.isnan().any())
        for what, flaw in lists.flaws(ranking, allowed).items():
            self._remember(f"{who} ranks items that {what}", lists.REMEDY, flaw)

    def validation_loss(self, loss: Tensor) -> None:
        """Look at a loss of the validation."""
        self._remember("the validation loss is NaN or infinite", REMEDY, ~loss.detach().isfinite())

    def _remember(self, what: str, remedy: str, flaw: Tensor) -> None:
        key = what, remedy
        self._flaws[key] = self._flaws[key] | flaw if key in self._flaws else flaw

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
        """Stop if what was measured was no number or no ranking, in any process.

        Raises:
            GenrecError: if it was not.
        """
        flaws = torch.stack(list(self._flaws.values())).tolist() if self._flaws else []
        found = [sentence for sentence, flaw in zip(self._flaws, flaws, strict=True) if flaw]
        if trainer.strategy.reduce_boolean_decision(bool(found), all=False):
            what, remedy = found[0] if found else ("what another process measured is wrong", "see what that one says")
            raise GenrecError(f"{what} (epoch {trainer.current_epoch}, step {trainer.global_step}): {remedy}")


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

"""Codes of items that are written in the order of confidence, several partial assignments of them side by side.

Confidence-guided parallel decoding of a masked diffusion (DiffGRM, WWW 2026, arXiv 2510.21805): in every step the pairs
of an open slot and a code compete with each other, whatever the slot, and an item is always the end (`AnyOrder`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genrec.decoding.any_order import AnyOrder
from genrec.decoding.grounding import first_best
from genrec.devices import widen
from genrec.types import PAD, Ranking

Predict = Callable[[Tensor], Tensor]
"""From partial assignments [B, W, m], `PAD` where a slot is open, to log-probabilities [B, W, m, size] of all codes."""


def unmask(
    predict: Predict, codes: AnyOrder, users: int, beams: int, steps: int, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The likeliest assignments of codes that items have.

    Args:
        predict: asked once in a step.
        codes: of the items.
        users: B.
        beams: W, partial assignments of a user that are kept.
        steps: from 1, where all slots are filled after a single look, to m, where each look fills one.
        allowed: [N] bool, the items that count; None counts all.

    Returns:
        assignments long [B, W', m], distinct, W' at most W, and the sums of the log-probabilities that their codes had
        when they were filled in, falling; -inf behind the last of a user.
    """
    slots = codes.codes.shape[1]
    partial = torch.full((users, 1, slots), PAD, device=codes.codes.device)
    scores = torch.zeros(users, 1, device=partial.device)
    filled = 0
    for step in range(steps):
        told = widen(predict(partial))
        for _ in range((step + 1) * slots // steps - step * slots // steps):
            filled += 1
            legal = codes.legal(partial.flatten(0, 1), allowed).unflatten(0, partial.shape[:2])
            legal &= (partial == PAD)[..., None] & (scores > -torch.inf)[..., None, None]
            pairs = (scores[..., None, None] + told).masked_fill(~legal, -torch.inf)
            partial, scores, parents = _best(pairs, partial, beams, filled)
            told = told.gather(1, parents[..., None, None].expand(-1, -1, *told.shape[2:]))
    return partial, scores


def _best(pairs: Tensor, partial: Tensor, beams: int, filled: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best of the assignments that have one more code.

    Args:
        pairs: [B, W, m, size], the scores with that code.
        partial: [B, W, m].
        beams: how many at most.
        filled: codes of the new assignments.

    Returns:
        them, their scores, and which of the assignments each comes from, [B, W', m], [B, W'] and [B, W'].
    """
    slots, size = pairs.shape[2:]
    # One of these may come from as many others as it has codes: so many pairs hold `beams` different ones.
    best = pairs.flatten(1).topk(min(beams * filled, pairs[0].numel()))
    parents, pair = best.indices // (slots * size), best.indices % (slots * size)
    longer = partial.gather(1, parents[..., None].expand(-1, -1, slots))
    longer = longer.scatter(2, (pair // size)[..., None], (pair % size)[..., None])
    scores = best.values.masked_fill(_again(longer, size), -torch.inf)
    kept = first_best(scores, min(beams, scores.shape[1]))
    return (
        longer.gather(1, kept.indices[..., None].expand(-1, -1, slots)),
        kept.values,
        parents.gather(1, kept.indices),
    )


def _again(assignments: Tensor, size: int) -> Tensor:
    """Which of a user's assignments [B, n, m] stand before: bool [B, n]."""
    # Numbers with a digit per slot; where they are longer than 63 bits they wrap, and are as good as any hash.
    base = (size + 1) ** torch.arange(assignments.shape[2], device=assignments.device)
    keys = ((assignments + 1) * base).sum(2)
    ordered, order = keys.sort(dim=1, stable=True)
    again = torch.zeros_like(ordered, dtype=torch.bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return torch.empty_like(again).scatter_(1, order, again)


def ranked(
    assignments: Tensor, scores: Tensor, codes: AnyOrder, most: int, k: int, allowed: Tensor | None = None
) -> Ranking:
    """The best items behind assignments; items of equal scores in the order of their rows.

    Args:
        assignments: [B, W, m] long, distinct.
        scores: [B, W] float, -inf for one that does not count.
        codes: of the items.
        most: items that share all of their codes, at most.
        k: how many.
        allowed: [N] bool, the items that count; None counts all.

    Returns:
        items and scores [B, k]; `PAD` and -inf behind the last of a user.
    """
    items = codes.items(assignments.flatten(0, 1), most, allowed).view(len(assignments), -1)
    scores = scores.repeat_interleave(most, 1).masked_fill(items == PAD, -torch.inf)
    items, order = items.sort(1)
    best = first_best(scores.gather(1, order), min(k, items.shape[1]))
    found = items.gather(1, best.indices).masked_fill(best.values == -torch.inf, PAD)
    more = k - found.shape[1]
    if more > 0:
        found = torch.nn.functional.pad(found, (0, more), value=PAD)
        return Ranking(found, torch.nn.functional.pad(best.values, (0, more), value=-torch.inf))
    return Ranking(found, best.values)

"""What a list has to be before it is measured or shown: k distinct, allowed items, best first."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genrec.errors import GenrecError
from genrec.types import Ranking

REMEDY = "`rank` returns k distinct, allowed rows of the catalogue, best first: try `genrec.testing.contract` on it"


def refuse_shape(ranking: Any, candidates: int, users: int, k: int, who: str) -> None:
    """Refuse what is no `Ranking` of this size; nobody waits for a device.

    Args:
        ranking: what a method returned.
        candidates: C, the candidate sets.
        users: B.
        k: items of a list.
        who: the method.

    Raises:
        GenrecError: if it is something else.
    """
    if not isinstance(ranking, Ranking):
        raise GenrecError(f"{who} returned a {type(ranking).__name__} to be ranked by, not a `genrec.types.Ranking`")
    asked, items, scores = [candidates, users, k], list(ranking.items.shape), list(ranking.scores.shape)
    if items != asked or scores != asked:
        raise GenrecError(
            f"{who} returned items of shape {items} and scores of shape {scores} for {candidates} candidate sets, "
            f"{users} users and k = {k}: both have to be {asked}"
        )
    if ranking.items.is_floating_point():
        raise GenrecError(f"{who} returned items of type {ranking.items.dtype}: the rows of items are whole numbers")


def flaws(ranking: Ranking, allowed: Tensor) -> dict[str, Tensor]:
    """What may be wrong with lists, and whether it is, bool scalars on their device.

    Args:
        ranking: items and scores [..., C, B, k].
        allowed: [C, N] bool, the candidate sets.
    """
    items, scores = ranking
    count = allowed.shape[1]
    candidates = torch.arange(len(allowed), device=items.device)[:, None, None]
    ordered = items.sort(-1).values
    return {
        f"are not of the catalogue (rows 0 to {count - 1})": ((items < 0) | (items >= count)).any(),
        "are not among the candidates": ~allowed[candidates, items.clamp(0, count - 1)].all(),
        "are in a list twice": (ordered[..., 1:] == ordered[..., :-1]).any(),
        "have better scores than those before them": (scores[..., 1:] > scores[..., :-1]).any(),
    }


def refuse_flaws(ranking: Ranking, allowed: Tensor, who: str) -> None:
    """Refuse to show lists that are wrong; the host waits for them.

    Args:
        ranking: items and scores [C, B, k].
        allowed: [C, N] bool, the candidate sets.
        who: the method.

    Raises:
        GenrecError: if one is.
    """
    found = [what for what, flaw in flaws(ranking, allowed).items() if flaw]
    if found:
        raise GenrecError(f"{who} recommends items that {found[0]}: {REMEDY}")

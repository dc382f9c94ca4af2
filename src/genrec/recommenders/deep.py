"""Rankings that are long enough for a user's own items to be taken out of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from genrec.decoding.candidates import candidates
from genrec.types import PAD, Ranking

Rank = Callable[[Tensor, int, Tensor], Ranking]


Look = Callable[[Ranking, Tensor, int, int], None]


def ranked_deep(rank: Rank, look: Look, history: Tensor, depth: int, allowed: Tensor) -> Ranking:
    """The best items of every candidate set, ``depth`` of them, or all where there are fewer.

    Args:
        rank: see `genrec.recommenders.measured.Measured.rank`.
        look: is given what it returns, the candidate sets, and how many users and items there have to be.
        history: [B, T].
        depth: how many.
        allowed: [C, N] bool, the candidate sets.

    Returns:
        items and scores [C, B, depth]; `PAD` and -inf behind those of a small set.
    """
    sizes = [len(rows) for rows in candidates(allowed).rows]
    large = [number for number, size in enumerate(sizes) if size >= depth]
    small = [[number] for number, size in enumerate(sizes) if size < depth]
    found: dict[int, Ranking] = {}
    for numbers in ([large] if large else []) + small:
        k = min(depth, sizes[numbers[0]])
        some = allowed if len(numbers) == len(allowed) else allowed[numbers]
        ranking = rank(history, k, some)
        look(ranking, some, len(history), k)
        items = pad(ranking.items, (0, depth - k), value=PAD)
        scores = pad(ranking.scores, (0, depth - k), value=-torch.inf)
        found.update((number, Ranking(items[row], scores[row])) for row, number in enumerate(numbers))
    ordered = [found[number] for number in range(len(allowed))]
    return Ranking(torch.stack([each.items for each in ordered]), torch.stack([each.scores for each in ordered]))

"""From scores of items to the best items of every candidate set, a part of the catalogue at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import isqrt
from typing import NamedTuple

import torch
from torch import Tensor

from genrec import devices
from genrec.decoding.candidates import candidates
from genrec.devices import full_precision, widen
from genrec.types import Ranking

ROUND = 64
"""Parts of a catalogue are multiples of it: the sums of a product are then the same, whatever the parts."""
BLOCK = 32
"""Scores are looked through in blocks of a multiple of it."""


def inner_products(users: Tensor, items: Tensor) -> Tensor:
    """Scores [..., B, N] of vectors [..., B, d] and [N, d], in float32 (or more) whatever the trainer's precision.

    In 16 bits one item in ten of a list is another one, and many items have the same score.
    """
    users, items = widen(users), widen(items)
    wider = torch.promote_types(users.dtype, items.dtype)
    with full_precision(users.device):
        return users.to(wider) @ items.to(wider).T


def items_at_once(users: Tensor, count: int) -> int:
    """How many items are scored together, so that their scores and their vectors are no more than may be held at once.

    Args:
        users: [B, d], what they are multiplied with.
        count: N.
    """
    most = max(1, devices.held_at_once(users.device) // max(1, *users.shape) // ROUND) * ROUND
    # Parts of about the same size: a last one of a few items would be multiplied in another way.
    parts = max(1, -(-count // most))
    return max(1, -(-count // (parts * ROUND))) * ROUND


def top_products(users: Tensor, items: Tensor, allowed: Tensor, k: int) -> Ranking:
    """`top_k` of `inner_products`, which are made a part of the catalogue at a time, and forgotten.

    What is held beside the table does not grow with it. The table may be memory-mapped, and may have fewer bits.

    Args:
        users: [B, d].
        items: [N, d].
        allowed: [C, N] bool, the candidate sets.
        k: how many.

    Returns:
        items and scores [C, B, k].

    Raises:
        GenrecError: if a candidate set holds fewer than k items.
    """
    size = items_at_once(users, len(items))
    return top_k_in_parts(lambda start, stop: inner_products(users, items[start:stop]), size, allowed, k)


def top_k(scores: Tensor, allowed: Tensor, k: int) -> Ranking:
    """The k best allowed items of every user, in every candidate set; items of equal scores in the order of their rows.

    Args:
        scores: [B, N] float, higher is better.
        allowed: [C, N] bool, the candidate sets.
        k: how many.

    Returns:
        items and scores [C, B, k].

    Raises:
        GenrecError: if a candidate set holds fewer than k items.
    """
    return top_k_in_parts(lambda start, stop: scores[:, start:stop], allowed.shape[1], allowed, k)


def top_k_in_parts(score: Callable[[int, int], Tensor], size: int, allowed: Tensor, k: int) -> Ranking:
    """`top_k` of scores that are made a part of the catalogue at a time, and forgotten.

    Args:
        score: the scores [B, stop - start] of the items ``start .. stop - 1``.
        size: items of a part, see `items_at_once`.
        allowed: [C, N] bool, the candidate sets.
        k: how many.

    Returns:
        items and scores [C, B, k].

    Raises:
        GenrecError: if a candidate set holds fewer than k items.
    """
    return top_k_of_each(lambda start, stop: [score(start, stop)], size, allowed, k)[0]


def top_k_of_each(scores: Callable[[int, int], Iterable[Tensor]], size: int, allowed: Tensor, k: int) -> list[Ranking]:
    """`top_k_in_parts` of several kinds of scores at once: a part of the catalogue is looked at once for all of them.

    Args:
        scores: of the items ``start .. stop - 1`` the scores [B, stop - start] of one kind after another; one that
            makes them when they are asked for holds those of one kind at a time.
        size: items of a part, see `items_at_once`.
        allowed: [C, N] bool, the candidate sets.
        k: how many.

    Returns:
        a ranking for every kind.

    Raises:
        GenrecError: if a candidate set holds fewer than k items.
    """
    known = candidates(allowed)
    known.check(k)
    best: list[list[Best | None]] = []
    for start in range(0, allowed.shape[1], size):
        stop = min(start + size, allowed.shape[1])
        columns = [rows.between(start, stop) for rows in known.rows]
        for place, part in enumerate(scores(start, stop)):
            if place == len(best):
                best.append([None] * len(columns))
            best[place] = _better(best[place], part, start, columns, k)
    return [_ranking(found) for found in best]


def _ranking(best: list[Best | None]) -> Ranking:
    found = [each for each in best if each is not None]
    return Ranking(torch.stack([each.indices for each in found]), torch.stack([each.values for each in found]))


def _better(
    best: Sequence[Best | None], scores: Tensor, start: int, columns: Sequence[slice | Tensor | None], k: int
) -> list[Best | None]:
    """The best so far of every candidate set, and those of the next part.

    Args:
        best: of every set; None before its first item.
        scores: [B, n] of the items from ``start`` on.
        start: a row.
        columns: of every set, which of these are in it.
        k: how many.
    """
    highest = scores.amax(1) if devices.exact_sizes(scores.device) else None
    found: list[Best | None] = []
    for before, chosen in zip(best, columns, strict=True):
        if chosen is None:
            found.append(before)
        elif before is None or highest is None or before.values.shape[1] < k:
            found.append(_merged(before, _best_of(scores, start, chosen, k), k))
        else:
            # Sooner or later hardly any user has something better here. NaN is never known not to be.
            users = (~(highest <= before.values[:, -1])).nonzero()[:, 0]
            part, last = scores.index_select(0, users), before.values[users, -1:]
            if len(users):
                # Nor does anybody have many: fewer than k have to be looked for.
                few = int((~(part <= last)).count_nonzero(1).max())
                after = _best_of(part, start, chosen, min(k, few))
                after = _merged(Best(before.values[users], before.indices[users]), after, k)
                before.values[users], before.indices[users] = after
            found.append(before)
    return found


def _best_of(scores: Tensor, start: int, chosen: slice | Tensor, k: int) -> Best:
    """The best of some columns of the scores [B, n] of the items from ``start`` on."""
    if isinstance(chosen, slice):
        part = scores[:, chosen]
        best = first_best(part, min(k, part.shape[1]))
        return Best(best.values, best.indices + (start + chosen.start))
    best = first_best(scores.index_select(1, chosen), min(k, len(chosen)))
    return Best(best.values, chosen[best.indices].long() + start)


def _merged(before: Best | None, after: Best, k: int) -> Best:
    """The best of two lists; what stood before comes first, so that of equal scores those of lower rows stay."""
    if before is None:
        return after
    values, indices = torch.cat([before.values, after.values], 1), torch.cat([before.indices, after.indices], 1)
    kept = first_best(values, min(k, values.shape[1]))
    return Best(kept.values, indices.gather(1, kept.indices))


class Best(NamedTuple):
    """The largest values and where they stand, as `torch.topk` returns them."""

    values: Tensor
    indices: Tensor


def first_best(scores: Tensor, k: int) -> Best:
    """`torch.topk` of the last dimension [..., n], where of equal values the first counts as the largest.

    Which of equal values `torch.topk` takes, and in what order, differs from device to device.
    """
    count = scores.shape[-1]
    width = max(1, isqrt(count // k) // BLOCK) * BLOCK
    if count >= 4 * k * width:
        return _best_in_blocks(scores, k, width)
    if devices.exact_sizes(scores.device):
        # Hardly ever is there a tie at the end of the list.
        top = scores.topk(min(k + 1, count))
        if k == count or not (top.values[..., k - 1] == top.values[..., k]).any():
            return _in_order(top.values[..., :k], top.indices[..., :k])
    values = scores.topk(k).values
    last = values[..., -1:]
    # What is better than the last value, then what equals it, each from the first on.
    order = (2 * (scores > last) + (scores == last)).int() * count - torch.arange(
        count, dtype=torch.int32, device=scores.device
    )
    rows = order.topk(k).indices
    # The values are those of the first look: NaN, which nothing equals, must stay to be seen.
    return Best(values, _in_order(scores.gather(-1, rows), rows).indices)


def _best_in_blocks(scores: Tensor, k: int, width: int) -> Best:
    """`first_best` of many scores, all of which are looked at only once.

    The k best stand in the k blocks with the largest maxima, of equal maxima the first: for an item of another block,
    each of these has one that is larger, or equal and before it.
    """
    count = scores.shape[-1]
    whole = count // width * width
    blocks = first_best(scores[..., :whole].unflatten(-1, (-1, width)).amax(-1), k).indices.sort(-1).values
    columns = (blocks[..., None] * width + torch.arange(width, device=scores.device)).flatten(-2)
    rest = torch.arange(whole, count, device=scores.device)
    columns = torch.cat([columns, rest.expand(*columns.shape[:-1], -1)], -1)
    best = first_best(scores.gather(-1, columns), k)
    return Best(best.values, columns.gather(-1, best.indices))


def _in_order(values: Tensor, indices: Tensor) -> Best:
    """Values [..., k], the largest first and of equal ones the first first."""
    indices, order = indices.sort(-1)
    values, order = values.gather(-1, order).sort(dim=-1, descending=True, stable=True)
    return Best(values, indices.gather(-1, order))

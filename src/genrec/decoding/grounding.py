"""From scores over the whole catalogue to the best items of every candidate set."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from genrec import devices
from genrec.devices import full_precision, widen
from genrec.errors import GenrecError
from genrec.types import Ranking


def inner_products(users: Tensor, items: Tensor) -> Tensor:
    """Scores [..., B, N] of vectors [..., B, d] and [N, d], in float32 (or more) whatever the trainer's precision.

    In 16 bits one item in ten of a list is another one, and many items have the same score.
    """
    users, items = widen(users), widen(items)
    wider = torch.promote_types(users.dtype, items.dtype)
    with full_precision(users.device):
        return users.to(wider) @ items.to(wider).T


def top_k(scores: Tensor, allowed: Tensor, k: int) -> Ranking:
    """The k best allowed items of every user, in every candidate set; items of equal scores in the order of their rows.

    Args:
        scores: [B, N] float, higher is better.
        allowed: [C, N] bool, the candidate sets; see `candidates`.
        k: how many.

    Returns:
        items and scores [C, B, k].

    Raises:
        GenrecError: if a candidate set holds fewer than k items.
    """
    found, known = [], candidates(allowed)
    known.check(k)
    for rows in known.rows:
        # Looking at the candidates alone is cheaper than hiding the others, and cannot return one of them.
        best = first_best(scores if rows is None else scores.index_select(1, rows), k)
        found.append((best.values, best.indices if rows is None else rows[best.indices]))
    return Ranking(torch.stack([items for _, items in found]), torch.stack([values for values, _ in found]))


def top_k_in_parts(score: Callable[[int, int], Tensor], size: int, allowed: Tensor, k: int) -> Ranking:
    """`top_k` of scores that are made a part of the catalogue at a time, and forgotten.

    Args:
        score: the scores [B, stop - start] of the items ``start .. stop - 1``.
        size: items of a part.
        allowed: [C, N] bool, the candidate sets; see `candidates`.
        k: how many.

    Returns:
        items and scores [C, B, k].

    Raises:
        GenrecError: if a candidate set holds fewer than k items.
    """
    known = candidates(allowed)
    known.check(k)
    best: list[Best | None] = [None] * len(allowed)
    for start in range(0, allowed.shape[1], size):
        stop = min(start + size, allowed.shape[1])
        scores = score(start, stop)
        for place, rows in enumerate(known.between(start, stop)):
            if rows is None or len(rows):
                best[place] = _better(best[place], scores, rows, start, k)
    found = [each for each in best if each is not None]
    return Ranking(torch.stack([each.indices for each in found]), torch.stack([each.values for each in found]))


def _better(best: Best | None, scores: Tensor, rows: Tensor | None, start: int, k: int) -> Best:
    """The best so far and those of the next part: its scores [B, n], and which of its columns count; None is all."""
    if rows is not None:
        scores = scores.index_select(1, rows - start)
    values, indices = first_best(scores, min(k, scores.shape[1]))
    indices = indices + start if rows is None else rows[indices]
    if best is None:
        return Best(values, indices)
    # What stood before comes first: of equal scores, those of lower rows stay.
    values, indices = torch.cat([best.values, values], 1), torch.cat([best.indices, indices], 1)
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


def _in_order(values: Tensor, indices: Tensor) -> Best:
    """Values [..., k], the largest first and of equal ones the first first."""
    indices, order = indices.sort(-1)
    values, order = values.gather(-1, order).sort(dim=-1, descending=True, stable=True)
    return Best(values, indices.gather(-1, order))


class Candidates(NamedTuple):
    """What rankings ask of candidate sets again and again.

    Args:
        rows: of every set its items, long, rising; None for all items.
        fewest: items of the smallest set.
        host: the rows once more, where a CPU can look at them.
    """

    rows: tuple[Tensor | None, ...]
    fewest: int
    host: tuple[np.ndarray | None, ...]

    def between(self, start: int, stop: int) -> list[Tensor | None]:
        """Of every set the items ``start .. stop - 1``; None for all of them."""
        parts: list[Tensor | None] = []
        for rows, host in zip(self.rows, self.host, strict=True):
            if rows is None or host is None:
                parts.append(None)
            else:
                first, last = np.searchsorted(host, (start, stop))
                parts.append(rows[first:last])
        return parts

    def check(self, k: int) -> None:
        """Refuse to rank more items than a set holds.

        Raises:
            GenrecError: if one holds fewer.
        """
        if k > self.fewest:
            raise GenrecError(
                f"cannot rank the best {k} of {self.fewest} candidate items: ask for a smaller k (`ks` of the model)"
            )


_known = WeakTensorKeyDictionary()


def candidates(allowed: Tensor) -> Candidates:
    """The items of candidate sets [C, N] bool, looked up once for as long as the tensor lives and is left as it is."""
    version = None if allowed.is_inference() else allowed._version
    if allowed not in _known or _known[allowed][0] != version:
        sets = allowed.cpu().numpy()
        host = tuple(None if items.all() else np.flatnonzero(items) for items in sets)
        rows = (None if items is None else torch.from_numpy(items).to(allowed.device) for items in host)
        _known[allowed] = version, Candidates(tuple(rows), int(sets.sum(1).min()), host)
    return _known[allowed][1]

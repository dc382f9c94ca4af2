"""Making codes unique: items that share theirs move to the nearest free ones.

LETTER's code (github.com/HonghuiBao2000/LETTER, ``RQ-VAE/generate_indices.py``) re-encodes colliding groups by optimal
transport, and keeps what still collides then; here an assignment to free codes follows, so that every item has a name
of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy
import torch
from torch import Tensor

from genrec.assets.codes.balance import distances, sinkhorn
from genrec.assets.codes.groups import equal_groups, row_ids
from genrec.assets.codes.taken import Taken
from genrec.devices import held_at_once

ROUNDS = 20


def spread(codes: Tensor, latents: Tensor, codebooks: Tensor, epsilon: float) -> Tensor:
    """Re-encode the last level of every group of equal codes, by optimal transport within the group.

    Args:
        codes: [N, L] long.
        latents: [N, d].
        codebooks: [L, size, d].
        epsilon: of `sinkhorn`.

    Returns:
        codes [N, L]; some may still be equal, those of identical items always.
    """
    codes = codes.clone()
    residuals = last_residuals(codes, latents, codebooks)
    for _ in range(ROUNDS):
        before = codes.clone()
        for rows in colliding_groups(codes, len(codebooks[-1])):
            cost = distances(residuals[rows], codebooks[-1])
            codes[rows, -1] = sinkhorn(cost, epsilon).argmax(-1)
        if torch.equal(codes, before):
            break
    return codes


def assign(codes: Tensor, latents: Tensor, codebooks: Tensor) -> Tensor:
    """Give every item codes of its own.

    Items whose codes nobody shares keep them. Behind each prefix of L - 1 codes the others are assigned to the free
    last codes, at the smallest total distance. Those that find none, the last in item order, are settled one after the
    other (`settle`).

    Args:
        codes: [N, L] long.
        latents: [N, d].
        codebooks: [L, size, d].

    Returns:
        codes [N, L], distinct.

    Raises:
        GenrecError: if there are too few codes.
    """
    found, size = codes.numpy(force=True).copy(), codebooks.shape[1]
    ids = row_ids(found)
    moving = np.bincount(ids)[ids] > 1
    if not moving.any():
        return codes
    residuals = last_residuals(codes, latents, codebooks)
    prefixes = row_ids(found[:, :-1])
    overflow = np.zeros(len(found), bool)
    crowded = np.bincount(prefixes, moving)[prefixes] > 0
    order = np.flatnonzero(crowded)
    order = order[np.argsort(prefixes[order], kind="stable")]
    for rows in np.split(order, np.flatnonzero(np.diff(prefixes[order])) + 1):
        movers, vacant = rows[moving[rows]], np.ones(size, bool)
        vacant[found[rows[~moving[rows]], -1]] = False
        free = np.flatnonzero(vacant)
        seated = movers[: len(free)]
        cost = distances(residuals[seated], codebooks[-1, free])
        places, columns = scipy.optimize.linear_sum_assignment(cost.numpy(force=True))
        found[seated[places], -1] = free[columns]
        overflow[movers[len(free) :]] = True
    result = torch.from_numpy(found).to(codes.device)
    if overflow.any():
        there, last = result[~overflow], np.flatnonzero(overflow)
        result[last] = settle(result[last], latents[last], codebooks, there)
    return result


def settle(codes: Tensor, latents: Tensor, codebooks: Tensor, there: Tensor) -> Tensor:
    """Codes for items that arrive one after the other, and leave those that are there already alone.

    An item keeps its codes if they are free. Otherwise it takes the nearest free last code; where none is free behind
    its prefix, the next-nearest code of the level before that has one behind it.

    Args:
        codes: [n, L] long, what the items would like.
        latents: [n, d].
        codebooks: [L, size, d].
        there: [N, L] long, the codes of the items that are there.

    Returns:
        codes [n, L], distinct and free before.

    Raises:
        GenrecError: if nothing is free.
    """
    return Taken(there, codes, codebooks).settle(latents)


def colliding_groups(codes: Tensor, held: int = 1) -> Iterator[Tensor]:
    """The rows of the groups of two or more items with equal codes [N, L], those of a size together: [groups, size].

    Args:
        codes: [N, L] long.
        held: numbers that are held for every item at once; not too many groups come together.
    """
    for groups in equal_groups(row_ids(codes.numpy(force=True))):
        most = max(1, held_at_once(codes.device) // (groups.shape[1] * held))
        for first in range(0, len(groups), most):
            yield torch.from_numpy(groups[first : first + most]).to(codes.device)


def last_residuals(codes: Tensor, latents: Tensor, codebooks: Tensor) -> Tensor:
    """What the last level has to explain, [N, d]."""
    explained = [codebook[column] for codebook, column in zip(codebooks[:-1], codes.T[:-1], strict=True)]
    return latents - torch.stack(explained).sum(0)

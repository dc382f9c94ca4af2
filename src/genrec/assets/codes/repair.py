"""Making codes unique: items that share theirs move to the nearest free ones.

LETTER's code (github.com/HonghuiBao2000/LETTER, ``RQ-VAE/generate_indices.py``) re-encodes colliding groups by optimal
transport, and keeps what still collides then; here an assignment to free codes follows, so that every item has a name
of its own.
"""

from __future__ import annotations

from collections import defaultdict

import scipy
import torch
from torch import Tensor

from genrec.assets.codes.balance import distances, sinkhorn
from genrec.errors import GenrecError

ROUNDS = 20

Taken = dict[tuple[int, ...], set[int]]
"""The last codes that are taken behind every prefix."""


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
        for rows in colliding_groups(codes):
            cost = distances(residuals[rows], codebooks[-1])
            codes[rows, -1] = sinkhorn(cost, epsilon).argmax(1)
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
    codes = codes.clone()
    groups = colliding_groups(codes)
    if not groups:
        return codes
    moving = torch.cat(groups).sort().values
    staying = torch.ones(len(codes), dtype=torch.bool, device=codes.device)
    staying[moving] = False
    taken = take(codes[staying])
    residuals = last_residuals(codes, latents, codebooks)
    by_prefix = defaultdict(list)
    for row in moving.tolist():
        by_prefix[tuple(codes[row, :-1].tolist())].append(row)
    overflow = []
    for prefix, rows in by_prefix.items():
        free = [code for code in range(codebooks.shape[1]) if code not in taken[prefix]]
        seated = rows[: len(free)]
        cost = distances(residuals[seated], codebooks[-1, free])
        places, columns = scipy.optimize.linear_sum_assignment(cost.numpy(force=True))
        for place, column in zip(places, columns, strict=True):
            codes[seated[place], -1] = free[column]
            taken[prefix].add(free[column])
        overflow += rows[len(free) :]
    overflow.sort()
    codes[overflow] = settle(codes[overflow], latents[overflow], codebooks, taken)
    return codes


def settle(codes: Tensor, latents: Tensor, codebooks: Tensor, taken: Taken) -> Tensor:
    """Codes for items that arrive one after the other, and leave those that are there already alone.

    An item keeps its codes if they are free. Otherwise it takes the nearest free last code; where none is free behind
    its prefix, the next-nearest code of the level before that has one behind it.

    Args:
        codes: [n, L] long, what the items would like.
        latents: [n, d].
        codebooks: [L, size, d].
        taken: what is taken; what the items take is added.

    Returns:
        codes [n, L], distinct and free before.

    Raises:
        GenrecError: if nothing is free.
    """
    settled = codes.clone()
    for row, latent in enumerate(latents):
        wanted = codes[row].tolist()
        if wanted[-1] in taken[tuple(wanted[:-1])]:
            wanted = _nearest_free(wanted, latent, codebooks, taken)
        taken[tuple(wanted[:-1])].add(wanted[-1])
        settled[row] = torch.tensor(wanted)
    return settled


def _nearest_free(wanted: list[int], latent: Tensor, codebooks: Tensor, taken: Taken) -> list[int]:
    size, head = codebooks.shape[1], tuple(wanted[:-2])
    residual = latent - sum(codebooks[level, code] for level, code in enumerate(head))
    order = distances(residual[None], codebooks[-2])[0].argsort(stable=True).tolist()
    # Its own code of the level before comes first, although a nearer one may have been full already.
    own = wanted[-2]
    for code in [own, *(code for code in order if code != own)]:
        used = taken[(*head, code)]
        if len(used) < size:
            cost = distances((residual - codebooks[-2, code])[None], codebooks[-1])[0]
            cost[list(used)] = torch.inf
            return [*head, code, int(cost.argmin())]
    raise GenrecError(
        f"all {size * size} codes behind the prefix {list(head)} are taken: use more levels or a larger `size`"
    )


def take(codes: Tensor) -> Taken:
    """What is taken by codes [N, L]."""
    taken: Taken = defaultdict(set)
    for *prefix, last in codes.tolist():
        taken[tuple(prefix)].add(last)
    return taken


def colliding_groups(codes: Tensor) -> list[Tensor]:
    """The rows of every group of two or more items with equal codes [N, L]."""
    _, groups, counts = codes.unique(dim=0, return_inverse=True, return_counts=True)
    rows = groups.argsort(stable=True).split(counts.tolist())
    return [group for group in rows if len(group) > 1]


def last_residuals(codes: Tensor, latents: Tensor, codebooks: Tensor) -> Tensor:
    """What the last level has to explain, [N, d]."""
    explained = [codebook[column] for codebook, column in zip(codebooks[:-1], codes.T[:-1], strict=True)]
    return latents - torch.stack(explained).sum(0)

"""Prompts and what follows them as one sequence of a decoder-only model: tokens, and who sees whom."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from genrec.backbones.attention import masks
from genrec.backbones.attention.sight import TRUNK, Branches, Sight
from genrec.types import ORDERED, Packed, Tokens


class Laid(NamedTuple):
    """Trunks with all their branches behind them, one row per user.

    Args:
        embeds: of the columns of the trunk and of every slot for a branch, [U, S + slots * C, D].
        sight: who sees whom.
        places: where each stands, [U, S + slots * C] long.
        at: the user and the slot of every branch, [R] each.
    """

    embeds: Tensor
    sight: Sight
    places: Tensor
    at: tuple[Tensor, Tensor]


def follow(context: Tokens, query: Tokens) -> Tokens:
    """One sequence of both; their sets have numbers apart, even ones and odd ones."""
    rows = max(len(context.mask), len(query.mask))
    parts = []
    for tokens, odd in ((context, 0), (query, 1)):
        sets = torch.where(tokens.sets > ORDERED, 2 * tokens.sets + odd, 2 * tokens.sets - odd)
        sets = torch.where(tokens.sets == ORDERED, ORDERED, sets).expand(rows, -1)
        parts.append(Tokens(tokens.embeds.expand(rows, -1, -1), tokens.mask.expand(rows, -1), sets))
    return Tokens.concat(*parts)


def side_by_side(packed: Packed, branch: Tokens, multiple: int) -> Laid:
    """The branches of every trunk behind it, each in a slot: it sees its part of the trunk, and itself.

    Args:
        packed: trunks [U, S], and which branch belongs to which.
        branch: the tokens of all branches, [R, C] or the same for all, [1, C].
        multiple: the row's length is one of these; what is missing is padding before the slots.
    """
    slots, count = packed.slots, branch.mask.shape[1]
    more = -(packed.trunk.mask.shape[1] + slots * count) % multiple
    trunk, cuts = packed.trunk.padded(more), packed.cuts + more
    users, columns = trunk.mask.shape
    place, own_place = masks.positions(trunk), masks.positions(branch)
    # Where a branch stands among those of its user.
    first = torch.searchsorted(packed.users, torch.arange(users, device=packed.users.device))
    at = (packed.users, torch.arange(len(packed.users), device=packed.users.device) - first[packed.users])

    def behind(trunk: Tensor, part: Tensor) -> Tensor:
        """A tensor of the trunks [users, columns, ...] with that of the branches [R, count, ...] in their slots."""
        empty = part.new_zeros(users, slots, *part.shape[1:]).index_put(at, part)
        return torch.cat([trunk, empty.flatten(1, 2)], 1)

    rows = (len(packed.users), -1)
    before = torch.cat([torch.zeros_like(place[:, :1]), place + 1], 1)
    places = behind(place, before[packed.users, cuts][:, None] + own_place)
    number = torch.arange(slots, device=place.device).repeat_interleave(count).expand(users, -1)
    branches = Branches(
        torch.cat([torch.full_like(place, TRUNK), number], 1),
        behind(torch.full_like(place, columns), cuts[:, None].expand(-1, count)),
    )
    sight = Sight(
        # A slot without a branch is padding.
        behind(trunk.mask, branch.mask.expand(*rows)),
        behind(trunk.sets, branch.sets.expand(*rows)),
        places,
        branches,
    )
    return Laid(behind(trunk.embeds, branch.embeds.to(trunk.embeds).expand(*rows, -1)), sight, places, at)

"""Codes of items that are filled in any order: which still lead to an item, and to which.

Sequences have a trie. Where the m slots of an item are unordered, any of them may be filled first, and a partial
assignment is legal if some item agrees with all that is filled. So a masked diffusion over codes (DiffGRM, WWW 2026,
arXiv 2510.21805) never writes an item that does not exist. Four items of two slots::

    codes   0 1      partial   - -    legal   0 1 2    0 1
            0 0                0 -            0        0 1
            1 1                - 1            0 1 2      1
            2 1                0 1            0          1

For every filled slot the items that hold its code are listed; only those of the shortest list are looked at.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrec import devices
from genrec.decoding.code_sums import narrow
from genrec.types import PAD


class AnyOrder:
    """The items behind partial assignments of their codes.

    Args:
        codes: [N, m] of any kind of integer, from 0 on; items may share all of them.
        size: how many codes a slot has, at most.
    """

    def __init__(self, codes: Tensor, size: int) -> None:
        self.size = size
        self.codes = narrow(codes, size)
        # Of every slot the items that hold code 0, those that hold code 1 ...: rising, and where each code begins.
        self._items = torch.stack([column.argsort(stable=True).int() for column in self.codes.T])
        counts = torch.stack([torch.bincount(column.long(), minlength=size) for column in self.codes.T])
        self._first = torch.cat([torch.zeros_like(counts[:, :1]), counts.cumsum(1)], 1)
        self._longest = int(counts.max())

    def legal(self, partial: Tensor, allowed: Tensor | None = None) -> Tensor:
        """The codes of every slot that an item has which agrees with all that is filled.

        Args:
            partial: [P, m] long, codes of slots, `PAD` where nothing is filled in yet.
            allowed: [N] bool, the items that count; None counts all.

        Returns:
            [P, m, size] bool; in a slot that is filled, its code alone, if there is such an item at all.
        """
        slots = self.codes.shape[1]
        first = torch.arange(slots, device=partial.device) * self.size
        found = []
        for part in partial.split(self._rows(partial)):
            items, agree = self._agreeing(part, allowed)
            # What does not agree goes behind the last code, and away.
            places = torch.where(agree[..., None], first + self.codes[items], slots * self.size)
            legal = torch.zeros(len(part), slots * self.size + 1, dtype=torch.bool, device=part.device)
            legal.scatter_(1, places.flatten(1), True)
            found.append(legal[:, :-1].unflatten(1, (slots, self.size)))
        return torch.cat(found) | (self._present(allowed) & (partial == PAD).all(1)[:, None, None])

    def items(self, partial: Tensor, most: int, allowed: Tensor | None = None) -> Tensor:
        """The items that agree with all that is filled, of which something is.

        Args:
            partial: [P, m] long, as in `legal`.
            most: how many at most, the first ones by row.
            allowed: [N] bool, the items that count; None counts all.

        Returns:
            [P, most] long, rising, `PAD` behind the last.
        """
        count = len(self.codes)
        found = []
        for part in partial.split(self._rows(partial)):
            items, agree = self._agreeing(part, allowed)
            rows = torch.where(agree, items, count)
            rows = torch.nn.functional.pad(rows, (0, max(0, most - rows.shape[1])), value=count)
            rows = rows.topk(most, largest=False).values
            found.append(torch.where(rows < count, rows, PAD))
        return torch.cat(found)

    def _rows(self, partial: Tensor) -> int:
        """Partial assignments that are looked at together."""
        held = devices.held_at_once(partial.device)
        return max(1, held // (self.codes.shape[1] * max(self._longest, self.size)))

    def _agreeing(self, partial: Tensor, allowed: Tensor | None) -> tuple[Tensor, Tensor]:
        """Items [P, n] among which are all that agree, and which do, bool; none for what has nothing filled in."""
        filled = partial != PAD
        code = partial.clamp(min=0)
        slot = torch.arange(partial.shape[1], device=partial.device)
        begin, end = self._first[slot, code], self._first[slot, code + 1]
        count, best = torch.where(filled, end - begin, len(self.codes) + 1).min(1)
        count = torch.where(filled.any(1), count, 0)
        width = int(count.max()) if devices.exact_sizes(partial.device) else self._longest
        offset = torch.arange(width, device=partial.device)
        real = offset < count[:, None]
        places = torch.where(real, begin.gather(1, best[:, None]) + offset, 0)
        items = self._items[best[:, None], places].long()
        agree = real & ((self.codes[items] == partial[:, None, :]) | ~filled[:, None, :]).all(2)
        return items, agree if allowed is None else agree & allowed[items]

    def _present(self, allowed: Tensor | None) -> Tensor:
        """[m, size] bool: the codes of every slot that an item has at all."""
        if allowed is None:
            return self._first[:, 1:] > self._first[:, :-1]
        slots = self.codes.shape[1]
        present = torch.zeros(slots, self.size + 1, dtype=torch.bool, device=self.codes.device)
        present.scatter_(1, torch.where(allowed[:, None], self.codes.long(), self.size).T, True)
        return present[:, :-1]

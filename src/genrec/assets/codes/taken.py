"""Which codes are taken, and the nearest that are free: for items that come one after the other."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from genrec.assets.codes.balance import distances
from genrec.assets.codes.groups import row_ids
from genrec.errors import GenrecError


class Taken:
    """The codes of items that are there, as sorted numbers, and of those that came since.

    Codes count as one number each: the last two levels, and the number of what stands before them.

    Args:
        there: [N, L] long, the codes of the items that are there.
        wanted: [n, L] long, what the items that come would like.
        codebooks: [L, size, d].
    """

    def __init__(self, there: Tensor, wanted: Tensor, codebooks: Tensor) -> None:
        self.wanted, self.codebooks = wanted, codebooks
        self.size = codebooks.shape[1]
        both = torch.cat([there, wanted]).numpy(force=True)
        numbers = (row_ids(both[:, :-2]) * self.size + both[:, -2]) * self.size + both[:, -1]
        self.there, self.numbers = np.sort(numbers[: len(there)]), numbers[len(there) :]
        self.came: dict[int, set[int]] = defaultdict(set)

    def settle(self, latents: Tensor) -> Tensor:
        """The codes [n, L] that the items [n, d] get, see `genrec.assets.codes.repair.settle`."""
        settled, before = self.wanted.clone(), np.isin(self.numbers, self.there)
        for row, (number, used) in enumerate(zip(self.numbers.tolist(), before.tolist(), strict=True)):
            prefix, last = divmod(number, self.size)
            if used or last in self.came[prefix]:
                prefix, last = self._nearest_free(row, latents[row])
                settled[row, -2], settled[row, -1] = prefix % self.size, last
            self.came[prefix].add(last)
        return settled

    def _nearest_free(self, row: int, latent: Tensor) -> tuple[int, int]:
        head = self.wanted[row, :-2].tolist()
        residual = latent - sum(self.codebooks[level, code] for level, code in enumerate(head))
        order = distances(residual[None], self.codebooks[-2])[0].argsort(stable=True).tolist()
        # Its own code of the level before comes first, although a nearer one may have been full already.
        own, first = int(self.wanted[row, -2]), int(self.numbers[row]) // self.size**2 * self.size
        for code in [own, *(code for code in order if code != own)]:
            used = self._used(first + code)
            if len(used) < self.size:
                cost = distances((residual - self.codebooks[-2, code])[None], self.codebooks[-1])[0]
                cost[used] = torch.inf
                return first + code, int(cost.argmin())
        raise GenrecError(
            f"all {self.size**2} codes behind the prefix {head} are taken: use more levels or a larger `size`"
        )

    def _used(self, prefix: int) -> list[int]:
        """The last codes that are taken behind a prefix."""
        begin, end = np.searchsorted(self.there, [prefix * self.size, (prefix + 1) * self.size])
        return [*(self.there[begin:end] - prefix * self.size).tolist(), *self.came[prefix]]

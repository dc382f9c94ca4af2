"""Candidate sets: which items may be ranked, as a run of rows or as a list of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from genrec.errors import GenrecError


@dataclass(frozen=True)
class Rows:
    """The items of a candidate set.

    Args:
        first: the first of them.
        stop: the one behind the last of them.
        listed: int32, rising; None for all from ``first`` to ``stop``.
        host: the list once more, where a CPU can look at it.
    """

    first: int
    stop: int
    listed: Tensor | None = None
    host: np.ndarray | None = None

    @staticmethod
    def of(allowed: np.ndarray, device: torch.device) -> Rows:
        """The rows where [N] bool is true."""
        count = np.count_nonzero(allowed)
        if not count:
            return Rows(0, 0)
        first, stop = int(allowed.argmax()), len(allowed) - int(allowed[::-1].argmax())
        if stop - first == count:
            return Rows(first, stop)
        host = np.flatnonzero(allowed).astype(np.int32)
        return Rows(first, stop, torch.from_numpy(host).to(device), host)

    def __len__(self) -> int:
        return self.stop - self.first if self.host is None else len(self.host)

    def index(self) -> slice | Tensor:
        """What takes them out of a table with a row per item."""
        return slice(self.first, self.stop) if self.listed is None else self.listed

    def between(self, start: int, stop: int) -> slice | Tensor | None:
        """Those of the items ``start .. stop - 1``, counted from ``start`` on; None where there are none."""
        if self.listed is None or self.host is None:
            first, last = max(self.first, start), min(self.stop, stop)
            return slice(first - start, last - start) if first < last else None
        begin, end = map(int, np.searchsorted(self.host, (start, stop)))
        if begin == end:
            return None
        first, last = int(self.host[begin]), int(self.host[end - 1])
        if last - first == end - begin - 1:
            return slice(first - start, last + 1 - start)
        return self.listed[begin:end] - start


class Candidates(NamedTuple):
    """What rankings ask of candidate sets again and again.

    Args:
        rows: the items of every set.
        fewest: items of the smallest set.
    """

    rows: tuple[Rows, ...]
    fewest: int

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
        rows = tuple(Rows.of(items, allowed.device) for items in allowed.cpu().numpy())
        _known[allowed] = version, Candidates(rows, min(map(len, rows)))
    return _known[allowed][1]

"""What a batch holds beside rows of items: features of users, times, domains, negatives, under names of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genrec.data.dataset import Dataset
from genrec.errors import GenrecError
from genrec.types import PAD, USER, Extras


class Extra(ABC):
    """Numbers of users, or of the items of their histories, for every batch.

    Attributes:
        per_item: whether there is one for every item of a history, and not one for every user.
    """

    per_item: bool = False

    @abstractmethod
    def __call__(self, dataset: Dataset, users: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The numbers of a batch.

        Args:
            dataset: what the batch is of.
            users: int64 [B], the users' rows.
            places: int64 [B, T], where the items of the histories stand in their users' timelines, from 0 on: training,
                then validation, then test. `PAD` at padding.

        Returns:
            numbers [B, T, ...] if `per_item`, and [B, ...] otherwise. What stands at padding becomes 0.
        """


@dataclass(frozen=True, eq=False)
class Gather:
    """All extras of a batch.

    Args:
        dataset: what the batches are of.
        wanted: the extras by name.

    Raises:
        GenrecError: if one has the name of what is there anyway.
    """

    dataset: Dataset
    wanted: Mapping[str, Extra]

    def __post_init__(self) -> None:
        if USER in self.wanted:
            raise GenrecError(f"`data.extras.{USER}` is there anyway, the users' rows: give it another name")

    def __call__(self, users: np.ndarray, places: np.ndarray) -> Extras:
        """Those of histories.

        Args:
            users: int64 [B], whose.
            places: int64 [B, T], where their items stand in the users' timelines; `PAD` at padding.

        Raises:
            GenrecError: if an extra gives something else than it should.
        """
        of_users, of_items = {}, {}
        for name, extra in self.wanted.items():
            shape = places.shape if extra.per_item else users.shape
            numbers = _numbers(name, extra(self.dataset, users, places), shape)
            if extra.per_item:
                of_items[name] = zero_where(numbers, torch.from_numpy(places == PAD))
            else:
                of_users[name] = numbers
        return Extras(of_users, of_items)


def zero_where(numbers: Tensor, nothing: Tensor) -> Tensor:
    """Numbers [B, T, ...] with 0 wherever ``nothing`` [B, T] is True."""
    return numbers.masked_fill(nothing.view(*nothing.shape, *[1] * (numbers.ndim - 2)), 0)


def _numbers(name: str, value: object, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or value.shape[: len(shape)] != shape:
        given = f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
        raise GenrecError(f"`data.extras.{name}` gave {given}: it returns an array of numbers {[*shape, '...']}")
    return torch.from_numpy(np.ascontiguousarray(value))

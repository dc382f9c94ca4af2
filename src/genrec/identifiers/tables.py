"""Tables with a row per item: no parameters, no buffers, so that no process sends them and no trainer rounds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

HALF = (torch.float16, torch.bfloat16)
NAMES = "_tables"
"""Where a module keeps the names of its tables, and whether they are saved."""


class _Marked(NamedTuple):
    tensor: Tensor
    saved: bool


def table(tensor: Tensor, saved: bool = False) -> Tensor:
    """What makes a tensor a table of the module that it becomes an attribute of.

    It is written ``self.codes = table(codes)``. Whatever the attribute is set to later is that table, too, of any size.

    Args:
        tensor: a row per item, as a rule.
        saved: the table is in the state dict, under the attribute's name; one that is loaded replaces the one that is
            there, whatever its size. For what cannot be made again from the parameters.
    """
    return cast(Tensor, _Marked(tensor, saved))


class Tables(nn.Module):
    """A module with tables (`table`). They are attributes like any other, and go where the module goes.

    Data-parallel training sends every buffer in every step; tables are the same in all processes already, and may be
    large. A trainer of 16 bits casts every number of a model; nothing here, parameters and chosen weights among it,
    ever gets fewer than 32.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, _Marked):
            self.__dict__.setdefault(NAMES, {})[name] = value.saved
            value = value.tensor
        super().__setattr__(name, value)

    def _saved(self) -> list[str]:
        return [name for name, saved in vars(self).get(NAMES, {}).items() if saved]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        wide = _at_least_32_bits(fn)
        super()._apply(wide, recurse)
        for name in vars(self).get(NAMES, {}):
            setattr(self, name, wide(getattr(self, name)))
        return self

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.update({f"{prefix}{name}": getattr(self, name) for name in self._saved()})

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        *lists: Any,
    ) -> None:
        for name in self._saved():
            loaded = state_dict.pop(f"{prefix}{name}", None)
            if loaded is not None:
                setattr(self, name, loaded.to(getattr(self, name).device, copy=True))
            elif strict:
                missing_keys.append(f"{prefix}{name}")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, *lists)


def _at_least_32_bits(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A change of device and type of number that takes no bits below 32."""

    def changed(tensor: Tensor) -> Tensor:
        # What is to stay as it is must not be made anew first: it may be as large as memory, or mapped into it.
        small = change(torch.empty(0, dtype=tensor.dtype, device=tensor.device))
        return tensor.to(small.device) if small.dtype in HALF and tensor.dtype not in HALF else change(tensor)

    return changed

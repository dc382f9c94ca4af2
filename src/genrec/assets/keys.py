"""What tells a recipe from all others, whatever the data: its name, and a hash of its parameters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from genrec.assets.recipe import Asset, hash_arrays


def key_of(recipe: Asset) -> str:
    """``<name>-<hash>``, the same for two recipes only if they are of one class and have the same parameters.

    Where the data are not at hand, or have changed, it stands for the fingerprint, in which they count as well. Of a
    dataclass the fields count that are compared, of any other class the attributes without an underscore. Seeds that
    are open count as such: close them first (`genrec.seeds.with_seed`).
    """
    text = json.dumps(_plain(recipe), sort_keys=True)
    return f"{recipe.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _plain(value: Any) -> Any:
    """A value as json, the same in every process."""
    if isinstance(value, float) and value.is_integer():
        # A config may say 1 where a constructor takes 1.0.
        return int(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return hash_arrays(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, set | frozenset):
        return sorted(json.dumps(_plain(part), sort_keys=True) for part in value)
    if is_dataclass(value):
        parts = {part.name: getattr(value, part.name) for part in fields(value) if part.compare}
    elif hasattr(value, "__dict__") and not hasattr(value, "__qualname__"):
        parts = {name: part for name, part in vars(value).items() if not name.startswith("_")}
    else:  # a class, a function, a path, a number of numpy
        return getattr(value, "__qualname__", None) or str(value)
    return {"class": type(value).__qualname__, **_plain(parts)}

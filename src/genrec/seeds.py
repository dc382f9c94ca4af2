"""Seeds: a number of one's own, or else that of the run, which stands in before anything random is done."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from genrec.errors import GenrecError

SEED = 42
"""The `seed_everything` of a config that names none."""
SEEDED = ("data", "assets")
"""The sections of a config whose ``seed``, if it is null, is `seed_everything`."""

Recipe = TypeVar("Recipe")


def seed_of_run() -> int:
    """What Lightning's `seed_everything` was told; 0 without it."""
    return int(os.environ.get("PL_GLOBAL_SEED", 0))


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """A recipe that leaves no seed open, neither its own nor those of the recipes inside it.

    Args:
        recipe: a dataclass; anything else stays as it is.
        seed: takes the place of every ``seed`` that is None.
    """
    if not is_dataclass(recipe):
        return recipe
    changed = {}
    for part in fields(recipe):
        value = getattr(recipe, part.name)
        closed = seed if part.name == "seed" and value is None else _inside(value, seed)
        if closed is not value:
            changed[part.name] = closed
    return cast(Recipe, replace(cast(Any, recipe), **changed)) if changed else recipe


def _inside(value: Any, seed: int) -> Any:
    if isinstance(value, Mapping):
        return {key: with_seed(part, seed) for key, part in value.items()}
    return with_seed(value, seed)


def number(seed: int | None) -> int:
    """The seed of a recipe that is being built.

    Raises:
        GenrecError: if it is open: what is built would be another every time.
    """
    if seed is None:
        raise GenrecError("a recipe without a `seed` has that of the store it is asked of: ask `AssetStore.get` for it")
    return seed


def closed(sections: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of a run's config, with the seeds that it leaves open as the numbers that they were in the run.

    Whatever `seed_everything` is by now: a recommender belongs to the assets that it was trained with.

    Args:
        sections: by name; those of `SEEDED` are in the result in any case.
        config: the whole of it, which may come from anybody.
    """
    seed = config.get("seed_everything", SEED)
    seed = int(seed) if isinstance(seed, int) else SEED
    found = dict(sections)
    for name in SEEDED:
        part = dict(found.get(name) or {})
        found[name] = {**part, "seed": seed if part.get("seed") is None else part["seed"]}
    return found

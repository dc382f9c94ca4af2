"""The values of whole configs by dotted key, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Where and how a run was computed, not what.
IGNORED = (
    "data.root",
    "data.rank_batch_size",
    "data.num_workers",
    "assets.root",
    "measure.metrics",
    "measure.new",
    "runs",
    "output",
    "checkpoint.dirpath",
    "checkpoint.save_last",
    "ckpt_path",
    "requeue",
    "verify",
    "last.minutes",
    "last.steps",
    "weights_only",
    "trainer.default_root_dir",
    "trainer.accelerator",
    "trainer.callbacks",
    "trainer.logger",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.profiler",
)
_PLACES = ("root", "mirror", "files")


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a config by dotted key, without the ``init_args`` in between.

    >>> flat({"model": {"class_path": "m.Model", "init_args": {"ks": [5, 10]}}})
    {'model.class_path': 'm.Model', 'model.ks': [5, 10]}
    """
    values: dict[str, Any] = {}
    for key, value in config.items():
        below = prefix if key == "init_args" else f"{prefix}{key}."
        values.update(flat(value, below) if isinstance(value, Mapping) and value else {below.rstrip("."): value})
    return values


def show(value: Any) -> str:
    """A value of a config as a table shows it; of a class its name."""
    is_class = isinstance(value, str) and all(part.isidentifier() for part in value.split("."))
    return value.rpartition(".")[2] if is_class else str(value)


def kept(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config by dotted key, without where and how it is computed."""
    return {
        key: value
        for key, value in flat(config).items()
        if key not in IGNORED and key.rpartition(".")[2] not in _PLACES
    }


def decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config that decide a result, by dotted key: those `kept`.

    A key without a value is left out: one that a config does not have came in with a later version.
    """
    return {key: value for key, value in kept(config).items() if value is not None}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two whole configs, such as ``trainer.max_epochs: 1 -> 3``.

    What counts is `decisive`. A key that the old one does not have, of something that it has, came in with a later
    version, whose default leaves everything as it was: with that value it is no difference.
    """
    before, after, known = decisive(old), decisive(new), flat(old)
    holders = {key[:place] for key in known for place, letter in enumerate(key) if letter == "."}

    def later(key: str) -> bool:
        held = key not in known and key.rpartition(".")[0] in holders
        return held and after[key] == _default(new, key)

    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in dict.fromkeys([*known, *flat(new)])
        if before.get(key) != after.get(key) and not later(key)
    ]


def _default(config: Mapping[str, Any], key: str) -> Any:
    """What the class that takes a key has, if nothing is given; None where the config does not say which class."""
    from genrec.config.signatures import default, find_class, only_class, parameters  # torch takes seconds

    *above, name = key.split(".")
    holder: Mapping[str, Any] = config
    cls: type | None = None
    for part in above:
        inner = holder.get("init_args", holder).get(part)
        if not isinstance(inner, Mapping):
            return None
        cls = find_class(inner.get("class_path")) or (only_class(parameters(cls).get(part)) if cls else None)
        holder = inner
    value = default(cls, name) if cls else None
    return list(value) if isinstance(value, tuple) else value

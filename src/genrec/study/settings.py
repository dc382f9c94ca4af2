"""The whole config of a command line, and what differs between two of them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import yaml

from genrec.report.variants import IGNORED, flat

_PLACES = ("root", "mirror", "files")


def full_config(arguments: Sequence[str]) -> dict[str, Any]:
    """The config of ``genrec fit`` with these arguments, with every default, as a run's ``config.yaml`` has it.

    Raises:
        GenrecError: if a config or key does not exist, or a value is of the wrong type.
    """
    from genrec.training import run  # torch takes seconds

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        run(["fit", *arguments, "--print_config"])
    return dict(yaml.safe_load(printed.getvalue()))


def learns(config: Mapping[str, Any]) -> bool:
    """Whether the recommender of a whole config has anything to train."""
    module, _, name = config["model"]["class_path"].rpartition(".")
    return bool(getattr(import_module(module), name).learns)


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two whole configs, such as ``trainer.max_epochs: 1 -> 3``.

    Where and how a run is computed does not count. A key that one of them does not have is one without a value: it came
    in with a later version.
    """
    before, after = flat(old), flat(new)
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in dict.fromkeys([*before, *after])
        if key not in IGNORED and key.rpartition(".")[2] not in _PLACES and before.get(key) != after.get(key)
    ]

"""The whole config of a command line."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import yaml

from genrec.errors import GenrecError
from genrec.io.starting import quick_imports

Resolve = Callable[[Sequence[str]], dict[str, Any]]
"""Makes a whole config of arguments."""


def full_config(arguments: Sequence[str]) -> dict[str, Any]:
    """The config of ``genrec fit`` with these arguments, with every default, as a run's ``config.yaml`` has it.

    Raises:
        GenrecError: if a config or key does not exist, or a value is of the wrong type or one that
            `genrec.training.arguments.check_settings` refuses; or an argument asks for help.
    """
    if asking := [each for each in arguments if each.startswith("-") and each.partition("=")[0].endswith("help")]:
        raise GenrecError(f"`{asking[0]}` asks for help and sets no key: give it to `genrec fit`")
    with quick_imports():  # torch takes seconds
        from genrec.training.arguments import check_settings
        from genrec.training.command import run

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        run(["fit", *arguments, "--print_config"])
    settings = dict(yaml.safe_load(printed.getvalue()))
    check_settings(settings)
    return settings

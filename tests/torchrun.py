"""``torchrun.py --OPTIONS -m genrec ARGUMENTS``: torchrun whose processes are forks, which saves their imports."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module

from forks import NEEDED
from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, parse_args

from genrec.cli import main


def work(*arguments: str) -> None:
    """What a process does, as if it had been begun so."""
    sys.argv = ["genrec", *arguments]
    main(list(arguments))


if __name__ == "__main__":
    for module in NEEDED:
        import_module(module)
    options = parse_args(sys.argv[1:])
    config, *_ = config_from_args(options)
    assert (options.module, options.training_script) == (True, "genrec")
    elastic_launch(replace(config, start_method="fork"), work)(*options.training_script_args)

"""The command line: ``genrec COMMAND`` with the commands of `USAGE`."""

from __future__ import annotations

import difflib
import os
import sys
import textwrap
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from itertools import groupby
from typing import NoReturn

from genrec.config.files import PACKAGED
from genrec.errors import GenrecError, printable
from genrec.io.disk import cannot_write
from genrec.io.missing import missing_package
from genrec.io.starting import light_metrics, quick_imports
from genrec.io.stopping import ends_when_asked

USAGE = """usage: genrec COMMAND --config CONFIG [--key value ...]

  fit       prepare what is missing, train, keep the best checkpoint on validation
  test      rank the test users with the newest run of CONFIG, print the all / warm / cold table
  validate  the same on the validation users
  predict   write the best items of every user (--output FILE.parquet or FILE.jsonl)
  prepare   only the data and the item embeddings
  export-assets  the same, and write embeddings and codes by item key into a folder (--output FOLDER)
  report    one table over runs, and figures: genrec report RUN... [--format markdown] [--paper] [--plots DIR]
  study     many configs, variants and seeds, and one table of them: genrec study STUDY.yaml [--key value ...]
  tune      search for the best values on validation: genrec tune STUDY.yaml [--key value ...]
  compare   whether two runs differ by more than chance: genrec compare RUN_A RUN_B
  inspect   what a run calls its items, and which it holds to be alike: genrec inspect RUN [--item KEY]
  recommend the best items for a history given by hand: genrec recommend --run RUN --history ITEM,ITEM --k 10
  export-ids  write what the items are called, for other engines: genrec export-ids RUN --output FILE.json
  serve     answer over HTTP, with a page to look at it: genrec serve RUN_OR_FOLDER... [--port 8000]

CONFIG is a file, or the name of a packaged config (below). Any key of it can be given on the command line:
  genrec fit --config toys_setrec_small.yaml --data.root DIR --trainer.max_epochs 3
  genrec fit --config toys_setrec_small.yaml --ckpt_path last      resumes the newest run of that config
  genrec test --config RUN/config.yaml --trust                     a run of your own, with classes of your own
  genrec fit --help                                                lists all keys; so do report --help, compare --help
"""

COMMANDS = {
    "report": ("genrec.analysis.report", "report"),
    "compare": ("genrec.analysis.compare", "command"),
    "study": ("genrec.study.command", "study"),
    "tune": ("genrec.study.tuning", "tune"),
    "inspect": ("genrec.analysis.inspection.command", "command"),
    "recommend": ("genrec.serving.recommend", "command"),
    "export-ids": ("genrec.serving.ids", "command"),
    "serve": ("genrec.web.command", "command"),
}
"""Module and function of the commands that have no trainer; imported when they are called."""
WITH_TRAINER = ("fit", "validate", "test", "predict", "prepare")
EXPORT = "export-assets"
"""Prepares, and writes what was prepared."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; bad input is one line on standard error and exit code 2."""
    arguments = list(sys.argv[1:] if args is None else args)
    if sys.stdout is None:  # closed by who called us: nobody wants to read
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    # torch and transformers take seconds to import: not for the sake of a few lines of help.
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"{USAGE}\n{_packaged()}")
        return
    try:
        with ends_when_asked():
            _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has seen enough, such as `head`; what Python still holds is not to complain at its end either.
        _hush()
        sys.exit(1)
    except GenrecError as error:
        _refuse(str(error))
    except Exception as error:
        # Where a library writes, a disk may be full as well; what only one command needs need not be installed.
        if reason := cannot_write(error) or missing_package(error):
            _refuse(reason)
        from genrec.config.failures import OUT_OF_MEMORY, out_of_memory

        if out_of_memory(error):
            _refuse(OUT_OF_MEMORY)
        raise


def _run(arguments: list[str]) -> None:
    command = arguments[0]
    if command in COMMANDS:
        module, function = COMMANDS[command]
        # Tables of what was measured need neither torch nor Lightning.
        with nullcontext() if command in ("report", "compare") else light_metrics():
            getattr(import_module(module), function)(arguments[1:])
    elif command in WITH_TRAINER or command == EXPORT:
        if command == EXPORT:
            if not any(argument.partition("=")[0] == "--output" for argument in arguments):
                raise GenrecError(f"{EXPORT} writes into a folder: give `--output FOLDER`")
            arguments = ["prepare", *arguments[1:]]
        with light_metrics():
            with quick_imports():
                from genrec.training.command import run

            run(arguments)
    else:
        near = difflib.get_close_matches(command, [*COMMANDS, *WITH_TRAINER, EXPORT], n=1)
        hint = f"did you mean `{near[0]}`?" if near else "`genrec --help` lists them"
        raise GenrecError(f"there is no command `{command:.80}`; {hint}")


def _refuse(reason: str) -> NoReturn:
    print(f"genrec: error: {printable(reason)}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        _hush()
    sys.exit(2)


def _hush() -> None:
    """Let what Python still holds for standard output be lost."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _packaged() -> str:
    """The packaged configs, a paragraph for every data set."""
    names = sorted(path.stem.partition("_") for path in PACKAGED.glob("*.yaml"))
    lines = ["packaged configs are called DATA_MODEL.yaml, such as toys_setrec_small.yaml:"]
    for data, group in groupby(names, key=lambda name: name[0]):
        models = f"  {data}: " + ", ".join(model for _, _, model in group)
        lines += textwrap.wrap(models, 110, subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines)

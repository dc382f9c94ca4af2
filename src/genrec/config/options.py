"""Arguments of the commands that need no trainer; a mistake in them is told like every other one."""

from __future__ import annotations

import argparse
from typing import NoReturn

from genrec.errors import GenrecError


class Options(argparse.ArgumentParser):
    """An argument parser without abbreviations.

    Args:
        command: the command whose arguments it reads.
        description: what the command does, for its ``--help``.
    """

    def __init__(self, command: str, description: str) -> None:
        super().__init__(f"genrec {command}", description=description, allow_abbrev=False)

    def add_data_root(self) -> None:
        """``--data.root``, called as in the commands that take a config; it is parsed into ``data_root``."""
        told = "the folder of the data, if not that of the run's config"
        self.add_argument("--data.root", dest="data_root", metavar="DIR", help=told)

    def add_trust(self) -> None:
        """``--trust``, see `genrec.runs.trusted`."""
        told = "the run is your own: import the modules of its classes, also from the working folder"
        self.add_argument("--trust", action="store_true", help=told)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line.

        Raises:
            GenrecError: always.
        """
        raise GenrecError(f"{self.prog}: {message}; `{self.prog} --help` lists the options")

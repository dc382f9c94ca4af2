"""Standard output for tables."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from genrec.errors import printable

WIDTH = 320
"""Characters of a line that no terminal breaks."""


def wide_console() -> Console:
    """Standard output; what is no terminal has room for every table."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def cell(text: str) -> str:
    """A text of somebody's for a table: neither markup nor a terminal's commands."""
    return escape(printable(text))

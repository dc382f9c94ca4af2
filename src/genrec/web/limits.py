"""What a request may ask for, and what the server holds at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from genrec.errors import at_least

HELP = {
    "body": "bytes of a request's body",
    "histories": "users of a request",
    "length": "items of a history",
    "k": "items of a list",
    "items": "items that a request adds",
    "waiting": "requests that wait for an answer; one more is told to come again",
    "batch": "requests that are taken together",
    "seconds": "after which a request is given up",
}
"""What each of the limits bounds."""


@dataclass(frozen=True)
class Limits:
    """Bounds, see `HELP`; what is beyond them is refused before anything is computed.

    Raises:
        GenrecError: if one of them lets nothing through.
    """

    body: int = 1_000_000
    histories: int = 64
    length: int = 1000
    k: int = 100
    items: int = 1000
    waiting: int = 256
    batch: int = 64
    seconds: float = 30.0

    def __post_init__(self) -> None:
        at_least(1, "genrec serve", **{f"--max-{name}": value for name, value in asdict(self).items()})

    def told(self) -> dict[str, int]:
        """Those of a single request, by name, for whoever makes one."""
        return {name: value for name, value in asdict(self).items() if name not in ("waiting", "batch", "seconds")}

"""What a request may ask for, and what the server holds at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds; what is beyond them is refused before anything is computed.

    Args:
        body: bytes of a request's body.
        histories: users of a request.
        length: items of a history.
        k: items of a list.
        items: items that a request adds.
        waiting: requests that have not been answered; one more is told to come again.
        batch: requests that are ranked together.
        seconds: after which a request is given up.
    """

    body: int = 1_000_000
    histories: int = 64
    length: int = 1000
    k: int = 100
    items: int = 1000
    waiting: int = 256
    batch: int = 64
    seconds: float = 30.0

    def told(self) -> dict[str, int]:
        """Those of a single request, by name, for whoever makes one."""
        return {name: value for name, value in asdict(self).items() if name not in ("waiting", "batch", "seconds")}

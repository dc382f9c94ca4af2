"""What a request cannot have, as a status and a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from genrec.errors import GenrecError

UNKNOWN, CANNOT, BUSY, NOT_READY, LATE = 404, 409, 429, 503, 504


class Refusal(Exception):  # noqa: N818 - it is no fault of ours
    """What is told to the client.

    Args:
        status: of HTTP.
        reason: one sentence.
        where: the field that it is about.
    """

    def __init__(self, status: int, reason: str, where: str | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.where = status, reason, where


@contextmanager
def told(status: int, where: str | None = None) -> Iterator[None]:
    """Tell the client what the library says about his request."""
    try:
        yield
    except GenrecError as error:
        raise Refusal(status, str(error), where) from error

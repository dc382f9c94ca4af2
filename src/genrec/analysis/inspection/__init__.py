"""What identifiers look like: how their tokens are used, how vectors are spread, which items they hold to be alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genrec.analysis.inspection.overview import Inspection as Inspection

__all__ = ["WHOSE", "Inspection"]

WHOSE = ("run", "minilm", "tfidf")
"""Text embeddings that tell which items are near by text: the run's own, or those of an encoder that every run has."""


def __getattr__(name: str) -> Any:
    """Import what inspects only when it is asked for: torch takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    from genrec.analysis.inspection import overview

    return getattr(overview, name)

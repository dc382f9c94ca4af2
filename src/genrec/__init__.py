"""Generative recommendation with language models: many identifiers, one interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genrec.serving import Served as Served
    from genrec.serving import from_pretrained as from_pretrained
    from genrec.serving import load as load

__all__ = ["Served", "from_pretrained", "load"]


def __getattr__(name: str) -> Any:
    """Import what serves a recommender only when it is asked for: torch takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    from genrec import serving

    return getattr(serving, name)

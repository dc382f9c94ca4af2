"""The start of a command, without what torchmetrics would import for figures, sound and text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = ("matplotlib", "scipy", "transformers")
"""Packages that torchmetrics imports wherever they are there: a quarter of the seconds and memory of a start."""


@contextmanager
def light_metrics() -> Iterator[None]:
    """Whoever asks Lightning's own helpers whether a package of `UNUSED` is there hears no.

    Only where the process is ours: in a notebook, torchmetrics can plot.
    """
    from unittest.mock import patch

    from lightning_utilities.core import imports

    available, met = imports.package_available, imports.RequirementCache.__bool__

    def is_there(name: str) -> bool:
        return name not in UNUSED and available(name)

    def is_met(cache: imports.RequirementCache) -> bool:
        return (cache.requirement or "").split(">")[0] not in UNUSED and met(cache)

    with (
        patch.object(imports, "package_available", is_there),
        patch.object(imports.RequirementCache, "__bool__", is_met),
    ):
        yield

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
    from lightning_utilities.core import imports

    available, met = imports.package_available, imports.RequirementCache.__bool__

    def unused(name: str | None) -> bool:
        return name is not None and name.split(">")[0] in UNUSED

    imports.package_available = lambda name: not unused(name) and available(name)
    imports.RequirementCache.__bool__ = lambda self: not unused(self.requirement) and met(self)
    try:
        yield
    finally:
        imports.package_available, imports.RequirementCache.__bool__ = available, met

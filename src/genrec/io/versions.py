"""Which libraries a result was made with."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def versions(*libraries: str) -> dict[str, str]:
    """Their versions by name; of a checkout that is on the path but not installed, that it is not."""
    return {library: _version(library) for library in libraries}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"

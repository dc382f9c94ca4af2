"""Plugins: packages beside genrec whose classes a config may name."""

from __future__ import annotations

import os
import sys
import tomllib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from genrec.config.signatures import cause

GROUP = "genrec.identifiers"
"""The entry points of plugins: modules that hold identifiers, or whatever else a config may name."""


def plugins() -> set[str]:
    """Import the modules that installed plugins name, whose classes have short names from then on.

    Metadata in the working folder, which Python looks at too, make no plugin: the folder may be somebody else's. A
    plugin that cannot be imported is left out, which is said once.

    Returns:
        the packages whose classes a config may name.
    """
    packages = {"genrec"}
    for entry in _named():
        try:
            entry.load()
        except Exception as error:
            where = f" of {entry.dist.name}" if entry.dist else ""
            _leave_out(f"the plugin `{entry.name}` ({entry.value}){where}", cause(error))
        else:
            packages.add(entry.module.partition(".")[0])
    return packages


def _named() -> list[EntryPoint]:
    """What installed packages name; where genrec is none of them, but a checkout on the path, that names its own."""
    installed = [
        entry
        for entry in _installed(*map(os.path.abspath, sys.path))
        if entry.dist is not None and Path(str(entry.dist.locate_file(""))).resolve() != Path.cwd()
    ]
    if any(entry.dist is not None and entry.dist.name == "genrec" for entry in installed):
        return installed
    return [*_of_checkout(), *installed]


@cache
def _of_checkout() -> tuple[EntryPoint, ...]:
    file = Path(__file__).resolve().parents[3] / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {}) if file.is_file() else {}
    named = project["entry-points"][GROUP] if project.get("name") == "genrec" else {}
    return tuple(EntryPoint(name, module, GROUP) for name, module in named.items())


@cache
def _installed(*path: str) -> tuple[EntryPoint, ...]:
    """The entry points along a path; to look for them takes a tenth of a second, and a process may ask often."""
    return tuple(entry_points(group=GROUP))


@cache
def _leave_out(plugin: str, why: str) -> None:
    print(f"{plugin} is left out, it cannot be imported: {why}", file=sys.stderr)

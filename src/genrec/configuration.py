"""Config files: found by name, composed from parts.

A config may name parts under ``compose``; they are merged in order, then the config's own keys win::

    # toys_setrec.yaml
    compose: [data/toys.yaml, backbone/t5_small.yaml, identifier/setrec.yaml, trainer/paper.yaml]
    model:
      init_args:
        identifier: {init_args: {n_semantic: 4, alpha: 0.7}}
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml

from genrec.errors import GenrecError

_PACKAGE = Path(__file__).parent
# Installed, the configs lie in the package; in a checkout, beside `src`.
PACKAGED = next(
    (folder for folder in (_PACKAGE / "configs", _PACKAGE.parents[1] / "configs") if folder.is_dir()),
    _PACKAGE / "configs",
)


def find_config(name: str, beside: Path | None = None) -> Path:
    """The file of a config: a path as it is, or the name of a packaged config.

    Args:
        name: path or name.
        beside: a folder to look in first.

    Raises:
        GenrecError: if there is no such file, naming similar packaged ones.
    """
    places = [*([beside] if beside else []), Path(), PACKAGED]
    for place in places:
        if (place / name).is_file():
            return place / name
    known = sorted(path.relative_to(PACKAGED).as_posix() for path in PACKAGED.rglob("*.yaml"))
    similar = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(similar)}?" if similar else "; `genrec --help` lists the packaged ones"
    raise GenrecError(f"there is no config file `{name}`, neither here nor among the packaged configs{hint}")


def load_config(name: str, beside: Path | None = None) -> dict[str, Any]:
    """A config with its parts merged in.

    Raises:
        GenrecError: if a file is missing, is not valid YAML, or holds no mapping.
    """
    path = find_config(name, beside)
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise GenrecError(f"{path}{where}: not valid YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(config, dict):
        raise GenrecError(f"{path}: a config is a mapping of keys to values, not {type(config).__name__}")
    merged: dict[str, Any] = {}
    for part in config.pop("compose", []):
        merged = merge(merged, load_config(part, path.parent))
    return merge(merged, config)


def merge(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the keys of ``override`` in it, mappings key by key.

    A mapping that names another ``class_path`` replaces the one below it: its arguments are another class's. Arguments
    that were given before any class was named are for whichever comes.
    """
    if "class_path" in base and override.get("class_path", base["class_path"]) != base["class_path"]:
        return override
    merged = dict(base)
    for key, value in override.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged

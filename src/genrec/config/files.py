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
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from genrec.errors import GenrecError

LARGEST = 2**20
"""Bytes of a config."""

_PACKAGE = Path(__file__).parents[1]
MOST = 100_000
"""Values in a config; a file with more is none."""

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
    with suppress(OSError, ValueError):  # a name too long, or with a NUL, is that of no file
        for place in places:
            if (place / name).is_file():
                return place / name
    roots = [*([beside] if beside and beside.is_relative_to(PACKAGED) else []), PACKAGED]
    known = sorted({path.relative_to(root).as_posix() for root in roots for path in root.rglob("*.yaml")})
    similar = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(similar)}?" if similar else "; `genrec --help` lists the packaged ones"
    raise GenrecError(f"there is no config file `{name:.200}`, neither here nor among the packaged configs{hint}")


def load_config(name: str, beside: Path | None = None, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A config with its parts merged in.

    Args:
        name: see `find_config`.
        beside: see `find_config`.
        above: the configs that it is a part of.

    Raises:
        GenrecError: if a file is missing, cannot be read, is not valid YAML, holds no mapping, or is a part of itself.
    """
    path = find_config(name, beside)
    if path.resolve() in above:
        raise GenrecError(f"{path}: the config is a part of itself (`compose`)")
    config = _read(path)
    parts = config.pop("compose", None) or []
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise GenrecError(f"{path}: `compose` is a list of config files, not `{parts!s:.80}`")
    merged: dict[str, Any] = {}
    for part in parts:
        merged = merge(merged, load_config(part, path.parent, (*above, path.resolve())))
    return merge(merged, config)


class _Loader(yaml.SafeLoader):
    """YAML's, for which a key that stands twice is a mistake: the first would be lost. A date is text, as it stands."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See `yaml.SafeLoader`."""
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is not None and name in seen:
                raise yaml.MarkedYAMLError(problem=f"the key `{name}` stands here again", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":timestamp")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _count(config: Any, path: Path) -> None:
    """Count the values of a config, which may be a few lines that name each other many times.

    Raises:
        GenrecError: if it has more than a config ever will.
    """
    left, parts = MOST, [config]
    while parts:
        part = parts.pop()
        inside = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        left -= len(inside)
        if left < 0:
            raise GenrecError(f"{path}: a config has fewer than {MOST:,} values, with all that `*` repeats")
        parts += inside


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise GenrecError(f"{path}: a config has {LARGEST:,} bytes at most, not {path.stat().st_size:,}")
        config = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
        _count(config, path)
    except GenrecError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise GenrecError(f"{path}{where}: not valid YAML ({problem})") from error
    except UnicodeDecodeError as error:
        raise GenrecError(f"{path}: a config is a text in UTF-8, which this is not (byte {error.start})") from error
    except OSError as error:
        raise GenrecError(f"cannot read `{path}`: {error.strerror or error}") from error
    except RecursionError as error:
        raise GenrecError(f"{path}: a config is not nested so deeply") from error
    except ValueError as error:  # a date or number that is none
        raise GenrecError(f"{path}: not valid YAML ({error})") from error
    if not isinstance(config, dict):
        raise GenrecError(f"{path}: a config is a mapping of keys to values, not {type(config).__name__}")
    if wrong := [key for key in config if not isinstance(key, str)]:
        raise GenrecError(f"{path}: a key is a text, not `{wrong[0]!s:.80}`")
    return config


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

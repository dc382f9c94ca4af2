"""What a study consists of: its yaml, as a list of cells.

A yaml of a study::

    config: toys_setrec_small.yaml          # or `configs: [...]`, a row for each
    seeds: [42, 43, 44]
    set: {trainer.max_epochs: 1}            # for every cell, unless the command line says otherwise
    variants:                               # or `sweep: {key: [values]}`, or `retest` with either
      SETRec: {}
      w/o Sem: {model.init_args.identifier.init_args.n_semantic: 0}

Keys are those of the command line. The more special one wins: a config's file, then ``set``, then the command line,
then what a config's entry in ``configs`` or a variant sets.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from genrec.config.files import PACKAGED, find_config, load_config
from genrec.errors import GenrecError

STUDIES = "studies"
"""The folder of packaged studies, and of the results of all studies."""

BASE = "chosen on validation"
"""The row of the cells that are tested again, as they were trained."""

_KEYS = ("name", "config", "configs", "seeds", "set", "variants", "sweep", "retest")
_AXES = ("variants", "sweep", "retest")
_OWN = {
    "seed_everything": "`seeds`, or `seed` of a search, says so",
    "config": "`config`, or `configs` of a study, says so",
    "runs": "`--studies` is the folder of all",
    "ckpt_path": "each goes on from its own checkpoints",
}
"""What no key and no argument sets."""


@dataclass(frozen=True)
class Cell:
    """One fit and its test.

    Args:
        config: the config's file.
        label: what its row is called; empty where the method says it all.
        keys: what it sets beside the config, by key of the command line.
        seed: of everything (``seed_everything``).
        swept: the value of the study's `Plan.over`, where there is one.
        trained_by: the cell whose checkpoint is tested; None for one that trains its own.
    """

    config: Path
    label: str
    keys: Mapping[str, Any]
    seed: int
    swept: Any = None
    trained_by: Cell | None = None

    @property
    def row(self) -> str:
        """The folder of the row: its config, and its variant."""
        return "/".join([self.config.stem, *([slug(self.label)] if self.label else [])])

    @property
    def name(self) -> str:
        """The folder of the cell, such as ``toys_setrec_small/w-o-Sem/seed42``."""
        return f"{self.row}/seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """A study.

    Args:
        name: the folder of its results.
        cells: row by row; those that test another's checkpoint come last.
        shared: the keys that are set for all.
        over: the key that a figure is drawn over; None for no such figure.
    """

    name: str
    cells: Sequence[Cell]
    shared: Mapping[str, Any]
    over: str | None


def load_study(name: str, keys: Sequence[str]) -> tuple[Path, dict[str, Any]]:
    """The yaml of a study, by path or by the name of a packaged one.

    Args:
        name: path or name.
        keys: what it may hold.

    Returns:
        its path and contents; ``name`` is that of the file, unless it says otherwise.

    Raises:
        GenrecError: if there is none, or it holds another key.
    """
    path = Path(name) if Path(name).is_file() else find_config(name, PACKAGED / STUDIES)
    contents = load_config(str(path))
    if unknown := [key for key in contents if key not in keys]:
        raise GenrecError(f"{path}: a study has no key `{unknown[0]}`; it may have {', '.join(keys)}")
    name = contents.get("name", path.stem)
    if (
        isinstance(name, bool)
        or not isinstance(name, str | int)
        or str(name) != slug(str(name))
        or not _names(str(name))
    ):
        proposed = slug(name) if isinstance(name, str) and _names(slug(name)) else "ablation"
        raise GenrecError(f"{path}: the name of a study is that of a folder, such as {proposed}, not `{name}`")
    contents["name"] = str(name)
    return path, contents


def load_plan(name: str) -> Plan:
    """Read the yaml of a study.

    Raises:
        GenrecError: if there is none, or it makes no sense.
    """
    path, contents = load_study(name, _KEYS)
    shared = _mapping(path, "set", contents.get("set", {}))
    axes = [axis for axis in _AXES if axis in contents]
    if len(axes) > 1:
        raise GenrecError(f"{path}: a study has `{axes[0]}` or `{axes[1]}`, not both")
    axis = axes[0] if axes else None
    variants = list(_variants(path, axis, contents))
    seeds = contents.get("seeds", [42])
    if not isinstance(seeds, list) or not seeds:
        raise GenrecError(f"{path}: `seeds` is a list of numbers, such as [42, 43, 44], not `{seeds}`")
    for seed in seeds:
        check_seed(path, "seeds", seed)
    cells: list[Cell] = []
    for config, own in _configs(path, contents):
        for label, keys, swept in variants:
            cells += [Cell(config, label, {**own, **keys}, seed, swept) for seed in seeds]
    check_keys(path, [*shared, *(key for cell in cells for key in cell.keys)])
    if twice := [name for name, count in Counter(cell.name for cell in cells).items() if count > 1]:
        raise GenrecError(
            f"{path}: two rows or seeds of the study have the same name, `{twice[0]}`: list a seed once, and give rows "
            "names of their own with `variants`"
        )
    if axis == "retest":
        trained = {(cell.config, cell.seed): cell for cell in cells if cell.label == BASE}
        cells = [_retest(cell, trained[cell.config, cell.seed]) for cell in cells]
        cells.sort(key=lambda cell: cell.trained_by is not None)
    return Plan(contents["name"], cells, shared, _over(axis, contents))


def check_extra(extra: Sequence[str]) -> None:
    """Look at the arguments behind the name of a study, which are for every cell.

    Raises:
        GenrecError: if one is the study's own to set.
    """
    for argument in extra:
        if (key := argument.partition("=")[0].removeprefix("--")) in _OWN:
            raise GenrecError(f"`--{key}` is not for the cells of a study: {_OWN[key]}")


def check_keys(path: Path, keys: Iterable[str]) -> None:
    """Look at keys that the yaml of a study or search sets.

    Raises:
        GenrecError: if one is said elsewhere.
    """
    if wrong := next((key for key in keys if key in _OWN), None):
        raise GenrecError(f"{path}: no key sets `{wrong}`: {_OWN[wrong]}")


def check_seed(path: Path, key: str, seed: Any) -> None:
    """Look at a seed of a study.

    Raises:
        GenrecError: if it is none that generators take.
    """
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise GenrecError(f"{path}: `{key}`: a seed is a whole number from 0 to {2**32 - 1}, not `{seed}`")


def flags(keys: Mapping[str, Any]) -> list[str]:
    """Keys and values as arguments of the command line."""
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in keys.items()]


def slug(label: str) -> str:
    """A label as the name of a folder."""
    return re.sub(r"[^\w.=,+-]+", "-", label).strip("-")


def _names(slugged: str) -> bool:
    """Whether a text names a folder inside another."""
    return bool(slugged.strip("."))


def short(key: str) -> str:
    """The last word of a key."""
    return key.rpartition(".")[2]


def _configs(path: Path, contents: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The config files, and what their entries set."""
    entries = contents.get("configs", [contents["config"]] if "config" in contents else [])
    if not isinstance(entries, list) or not entries or ("config" in contents and "configs" in contents):
        given = ", ".join(f"`{key}: {contents[key]}`" for key in ("config", "configs") if key in contents) or "neither"
        raise GenrecError(f"{path}: a study has `config: NAME` or `configs: [NAME, ...]`, not {given}")
    for entry in entries:
        if not isinstance(entry, str | dict):
            raise GenrecError(f"{path}: a config is the name of a file, not `{entry}`")
        names = entry if isinstance(entry, dict) else {entry: {}}
        for name, keys in names.items():
            yield find_config(str(name), path.parent), _mapping(path, str(name), keys)


def _variants(path: Path, axis: str | None, contents: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Label, keys and swept value of every variant."""
    if axis is None:
        yield "", {}, None
        return
    axes = _mapping(path, axis, contents[axis])
    named = axis == "retest" and any(isinstance(keys, dict) for keys in axes.values())
    if named:
        yield BASE, {}, None
    if axis == "variants" or named:
        if not axes:
            raise GenrecError(f"{path}: `variants` names none: give a label and its keys, such as {{all: {{}}}}")
        for label, keys in axes.items():
            if not _names(slug(str(label))):
                raise GenrecError(f"{path}: `{axis}`: a label has letters or digits, unlike `{label}`")
            yield str(label), _mapping(path, f"{axis}: {label}", keys), None
        return
    wrong = [f"`{key}: {values}`" for key, values in axes.items() if not isinstance(values, list) or not values]
    if wrong or not axes:
        such = f"gives every key a list of values, such as {{data.batch_size: [64, 128]}}, not {(wrong or ['none'])[0]}"
        raise GenrecError(f"{path}: `{axis}` {such}")
    if axis == "retest":
        yield BASE, {}, None
    for values in product(*axes.values()):
        label = ",".join(f"{short(key)}={_show(value)}" for key, value in zip(axes, values, strict=True))
        yield label, dict(zip(axes, values, strict=True)), values[0]


def _show(value: Any) -> str:
    """A value in a label; of a list of one, such as the ``betas`` to choose from, the one."""
    return str(value[0]) if isinstance(value, list) and len(value) == 1 else str(value)


def _retest(cell: Cell, trained: Cell) -> Cell:
    return cell if cell is trained else Cell(cell.config, cell.label, cell.keys, cell.seed, cell.swept, trained)


def _over(axis: str | None, contents: Mapping[str, Any]) -> str | None:
    """The key of a sweep over one key, whose values are points on an axis."""
    if axis not in ("sweep", "retest") or len(contents[axis]) != 1:
        return None
    ((key, values),) = contents[axis].items()
    if isinstance(values, dict):
        return None
    plain = not any(isinstance(value, dict) or (isinstance(value, list) and len(value) != 1) for value in values)
    return key if plain else None


def _mapping(path: Path, what: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) and value is not None:
        raise GenrecError(f"{path}: `{what}` is a mapping of keys to values, not `{value}`")
    return value or {}

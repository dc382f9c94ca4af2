"""What is searched for: the yaml of a search, and what a trial of it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any

from genrec.config.files import find_config
from genrec.errors import GenrecError
from genrec.study.plan import check_keys, check_seed, flags, load_study
from genrec.study.settings import Resolve

_KEYS = ("name", "config", "seed", "trials", "set", "space")
ALL = "all"


@dataclass(frozen=True)
class Search:
    """What is searched for, and where.

    Args:
        folder: of the search.
        config: the config's file.
        arguments: what every trial sets beside it.
        space: choices or bounds by key of the command line.
        trials: how many; None is every combination of the choices.
        seed: of the trainings and of the sampler.
        monitor: the metric of validation that checkpoints are kept by.
        mode: ``max`` or ``min``, which of its values is the best.
        learns: whether a trial trains; otherwise it validates what there is nothing to learn of.
    """

    folder: Path
    config: Path
    arguments: Sequence[str]
    space: Mapping[str, Any]
    trials: int | None
    seed: int
    monitor: str
    mode: str
    learns: bool

    @property
    def count(self) -> int:
        """How many trials are wanted."""
        return len(self.combinations) if self.trials is None else self.trials

    @property
    def combinations(self) -> list[dict[str, Any]]:
        """Of all choices, in their order, each as `choices` has it."""
        return [dict(zip(self.space, values, strict=True)) for values in product(*map(self.choices, self.space))]

    @property
    def best(self) -> Path:
        """The config with the best values. Its name is that of the folder of its runs, so every search has its own."""
        return self.folder / f"{self.folder.name}_best.yaml"

    @property
    def command(self) -> str:
        """Of a trial."""
        return "fit" if self.learns else "validate"

    def choices(self, key: str) -> list[Any]:
        """The values to choose from; a list is one as the command line has it, for a journal keeps no lists."""
        return [json.dumps(value) if isinstance(value, list) else value for value in self.space[key]]

    def value(self, key: str, drawn: Any) -> Any:
        """What was drawn for a key, a list as a list again."""
        values = self.space[key]
        return values[self.choices(key).index(drawn)] if isinstance(values, list) else drawn


def load_search(
    name: str, config: str | None, root: Path, extra: Sequence[str], resolve: Resolve
) -> tuple[Search, Any]:
    """Read the yaml of a search.

    Args:
        name: its path, or that of a packaged one.
        config: the config to search for in the place of the yaml's; it has a folder of its own.
        root: the folder of all studies.
        extra: arguments for every trial.
        resolve: makes a whole config of arguments.

    Returns:
        the search, and the whole config of one point of its space.

    Raises:
        GenrecError: if the yaml, a key or a value is wrong.
    """
    path, contents = load_study(name, _KEYS)
    space, trials = contents.get("space"), contents.get("trials", 20)
    if not isinstance(space, dict) or not space or not isinstance(contents.get("config"), str):
        given = f"not `{contents.get('config')}` and `{space}`"
        raise GenrecError(f"{path}: a search has a `config` and a `space` of keys with choices or bounds, {given}")
    if trials != ALL and (type(trials) is not int or trials < 1):
        raise GenrecError(f"{path}: `trials` is a positive number, or `{ALL}` for every combination, not `{trials}`")
    for key, values in space.items():
        _check_values(path, key, values)
        if trials == ALL and not isinstance(values, list):
            raise GenrecError(f"{path}: `trials: {ALL}` tries every value, and `{key}` has bounds: list its values")
    seed, keys = contents.get("seed", 42), contents.get("set") or {}
    check_seed(path, "seed", seed)
    if not isinstance(keys, dict):
        raise GenrecError(f"{path}: `set` is a mapping of keys to values, not `{keys}`")
    check_keys(path, [*keys, *space])
    file, folder = find_config(contents["config"], path.parent), root / contents["name"]
    if config is not None:
        file = find_config(config)
        folder /= file.stem
    shared = {"trainer.enable_progress_bar": False, **keys}
    arguments = [*flags(shared), *extra, f"--seed_everything={seed}"]
    try:
        found = [resolve(["--config", str(file), *arguments, *flags(point)]) for point in _points(space)]
    except GenrecError as error:
        raise GenrecError(f"{path}: {error}") from error
    if any(settings.get("trainer", {}).get("limit_val_batches") == 0 for settings in found):
        raise GenrecError(f"{path}: validation has to choose: leave out `trainer.limit_val_batches: 0`")
    from genrec.recommenders.base import learns  # torch takes seconds

    settings = found[0]
    kept_by, number = settings["checkpoint"], None if trials == ALL else trials
    trains = learns(settings["model"]["class_path"])
    return Search(folder, file, arguments, space, number, seed, kept_by["monitor"], kept_by["mode"], trains), settings


def _points(space: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The first values or lower bounds of all keys, and that with each other value or upper bound of one."""
    ends = {
        key: values if isinstance(values, list) else [values["low"], values["high"]] for key, values in space.items()
    }
    point = {key: values[0] for key, values in ends.items()}
    yield point
    for key, values in ends.items():
        yield from ({**point, key: value} for value in values[1:])


def _check_values(path: Path, key: str, values: Any) -> None:
    if isinstance(values, list):
        good = bool(values) and all(map(_plain, (part for value in values for part in _parts(value))))
        if good and (twice := next((value for n, value in enumerate(values) if value in values[:n]), None)) is not None:
            raise GenrecError(f"{path}: `{key}` lists {twice} twice, or a value that is equal: each is tried once")
    else:
        good = isinstance(values, dict) and {"low", "high"} <= set(values) <= {"low", "high", "log"}
        good = good and all(type(values[end]) in (int, float) and isfinite(values[end]) for end in ("low", "high"))
        good = good and values["low"] <= values["high"] and isinstance(values.get("log", False), bool)
        good = good and (values["low"] > 0 or not values.get("log"))
    if not good:
        raise GenrecError(
            f"{path}: `{key}` is a list of values, or {{low: 1.0e-4, high: 1.0e-2, log: true}} (1e-4 is text in yaml; "
            f"a logarithm needs a low above 0), not `{values}`"
        )


def _parts(choice: Any) -> list[Any]:
    return choice if isinstance(choice, list) else [choice]


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)

"""``genrec tune STUDY.yaml``: values of a config that do best on validation.

A yaml of a search::

    config: toys_setrec_small.yaml
    seed: 42
    trials: 20
    set: {trainer.max_epochs: 1, trainer.val_check_interval: 0.25}
    space:
      model.init_args.optimizer.init_args.lr: {low: 1.0e-4, high: 1.0e-2, log: true}
      model.init_args.identifier.init_args.n_semantic: [1, 2, 3, 4, 5, 6]

Values are drawn by a tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011); with ``trials: all`` every
combination of the lists is tried, in their order. A trial is a ``genrec fit`` in a
process of its own, which ranks the validation users and never sees a test user; one that is behind the median of the
others at the same validation is stopped. The search is kept in ``journal.log``, so that it goes on after it was killed.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite
from pathlib import Path
from typing import IO, Any

import optuna
import yaml
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from genrec.config.files import PACKAGED, find_config, merge
from genrec.config.options import Options
from genrec.config.settings import changes
from genrec.errors import GenrecError
from genrec.io.console import wide_console
from genrec.io.files import write_text
from genrec.study.journal import PRUNED, best_of, open_study, trial_of
from genrec.study.plan import STUDIES, check_seed, flags, load_study, short
from genrec.study.processes import Execute, claim, claimed, execute, stoppable
from genrec.study.settings import Resolve, full_config

_KEYS = ("name", "config", "seed", "trials", "set", "space")
ALL = "all"
_KILLED, _SETTINGS, _SPACE, _ERROR = "killed", "settings", "space", "error"


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
    """

    folder: Path
    config: Path
    arguments: Sequence[str]
    space: Mapping[str, Any]
    trials: int | None
    seed: int
    monitor: str
    mode: str

    @property
    def count(self) -> int:
        """How many trials are wanted."""
        return len(self.combinations) if self.trials is None else self.trials

    @property
    def combinations(self) -> list[dict[str, Any]]:
        """Of all choices, in their order."""
        return [dict(zip(self.space, values, strict=True)) for values in product(*self.space.values())]

    @property
    def best(self) -> Path:
        """The config with the best values. Its name is that of the folder of its runs, so every search has its own."""
        return self.folder / f"{self.folder.name}_best.yaml"


def tune(arguments: Sequence[str], resolve: Resolve = full_config, execute: Execute = execute) -> None:
    """Run the trials that are missing, print them all, and write the best values into a config.

    Args:
        arguments: of the command line.
        resolve: makes a whole config of arguments.
        execute: runs a command.

    Raises:
        GenrecError: if the yaml, a key or a value is wrong, or the trials that are there had other settings.
        SystemExit: with code 1 if no trial has come to its end.
    """
    options = Options("tune", "Search on validation; arguments after the name, such as --data.root DIR, are for all.")
    options.add_argument("study", metavar="STUDY", help="a yaml, or the name of a packaged one")
    options.add_argument("--studies", default=STUDIES, metavar="DIR", help="the folder of all studies (%(default)s)")
    chosen, extra = options.parse_known_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path, contents = load_study(chosen.study, _KEYS)
    search, settings = _search(path, contents, Path(chosen.studies), extra, resolve)
    search.folder.mkdir(parents=True, exist_ok=True)
    study = open_study(search.folder, search.mode)
    _check_same(study, search, settings)
    with stoppable():
        while _run_next(study, search, execute):
            _write(study, search)
    wide_console().print(_table(study, search))
    best = _write(study, search)
    if best is None:
        print("no trial has come to its end", file=sys.stderr)
        sys.exit(1)
    print(f"trial {best.number} is the best; wrote {search.best}: genrec fit --config {search.best}")


def _search(
    path: Path, contents: Mapping[str, Any], root: Path, extra: Sequence[str], resolve: Resolve
) -> tuple[Search, dict[str, Any]]:
    """The search of a yaml, and the whole config of one point of its space."""
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
    config = find_config(contents["config"], path.parent)
    shared = {"trainer.enable_progress_bar": False, **keys}
    arguments = [*flags(shared), *extra, f"--seed_everything={seed}"]
    point = {key: values[0] if isinstance(values, list) else values["low"] for key, values in space.items()}
    try:
        settings = resolve(["--config", str(config), *arguments, *flags(point)])
    except GenrecError as error:
        raise GenrecError(f"{path}: {error}") from error
    kept_by = settings["checkpoint"]
    folder = root / contents["name"]
    number = None if trials == ALL else trials
    return Search(folder, config, arguments, space, number, seed, kept_by["monitor"], kept_by["mode"]), settings


def _check_values(path: Path, key: str, values: Any) -> None:
    if isinstance(values, list):
        good = bool(values) and all(value is None or isinstance(value, bool | int | float | str) for value in values)
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


def _check_same(study: optuna.Study, search: Search, settings: Mapping[str, Any]) -> None:
    """Trials of other settings cannot be compared."""
    kept = study.user_attrs
    if _SETTINGS not in kept:
        study.set_user_attr(_SETTINGS, dict(settings))
        study.set_user_attr(_SPACE, dict(search.space))
        return
    changed = changes(kept[_SETTINGS], settings)
    if changed or kept[_SPACE] != search.space:
        raise GenrecError(
            f"the trials in {search.folder} had other settings ({changed[0] if changed else 'the space'}): give the "
            "search another `name`, or move that folder away"
        )


def _run_next(study: optuna.Study, search: Search, execute: Execute) -> bool:
    """Run one more trial; False if there are enough."""
    with _begin(study, search) as (trial, lock):
        if trial is None:
            return False
        values = ", ".join(f"{short(key)}={_show(value)}" for key, value in trial.params.items())
        print(f"[{trial.number}: {_count(study)}/{search.count}] {values}", end=" ... ", flush=True)
        start = time.perf_counter()
        log = search.folder / f"trial{trial.number}" / "fit.log"
        error = execute(_command(search, trial), log, lock)
        best = best_of(study, study.trials[trial.number].intermediate_values.values())
        if error or best is None:
            error = error or f"it was not validated ({search.monitor})"
            trial.set_user_attr(_ERROR, error)
            study.tell(trial, state=TrialState.FAIL)
            outcome = f"FAILED: {error} (see {log})"
        elif study.trials[trial.number].user_attrs.get(PRUNED):
            study.tell(trial, state=TrialState.PRUNED)
            outcome = f"stopped early at {best:.4f}"
        else:
            study.tell(trial, best)
            outcome = f"{search.monitor} {best:.4f}"
        print(f"{outcome}, {time.perf_counter() - start:,.0f} s", flush=True)
    return True


@contextlib.contextmanager
def _begin(study: optuna.Study, search: Search) -> Iterator[tuple[optuna.Trial | None, Any]]:
    """A new trial, claimed by this process; None if there are enough."""
    with contextlib.ExitStack() as held:
        # One process at a time: a trial that has been begun and is not claimed yet looks like one that was killed.
        with FileLock(search.folder / ".begin.lock"):
            _retry_killed(study, search)
            if _count(study) >= search.count:
                yield None, None
                return
            # A seed for every trial: after a restart the sampler does not draw the first ones again.
            study.sampler = optuna.samplers.TPESampler(seed=search.seed + len(study.trials))
            if search.trials is None:
                for values in search.combinations:
                    study.enqueue_trial(values, skip_if_exists=True)
            trial = study.ask()
            for key, values in search.space.items():
                _suggest(trial, key, values)
            lock: IO[str] | None = held.enter_context(claim(search.folder / f"trial{trial.number}"))
        yield trial, lock


def _retry_killed(study: optuna.Study, search: Search) -> None:
    """Trials whose process is gone without a word are run again, with the same values."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if not claimed(search.folder / f"trial{trial.number}"):
            trial_of(study, trial.number).set_user_attr(_KILLED, True)
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)


def _count(study: optuna.Study) -> int:
    """Trials that were begun, without those that were killed."""
    return sum(trial.state != TrialState.WAITING and _KILLED not in trial.user_attrs for trial in study.trials)


def _suggest(trial: optuna.Trial, key: str, values: Any) -> None:
    if isinstance(values, list):
        trial.suggest_categorical(key, values)
    elif isinstance(values["low"], int) and isinstance(values["high"], int):
        trial.suggest_int(key, values["low"], values["high"], log=values.get("log", False))
    else:
        trial.suggest_float(key, values["low"], values["high"], log=values.get("log", False))


def _command(search: Search, trial: optuna.Trial) -> list[str]:
    from genrec.study.pruning import Pruning  # torch takes seconds

    callback = {
        "class_path": f"{Pruning.__module__}.{Pruning.__name__}",
        "init_args": {"folder": str(search.folder), "number": trial.number, "monitor": search.monitor},
    }
    runs_ = search.folder / f"trial{trial.number}"
    own = flags({**trial.params, "runs": str(runs_), "trainer.callbacks+": callback})
    return ["fit", "--config", str(search.config), *search.arguments, *own]


def _write(study: optuna.Study, search: Search) -> FrozenTrial | None:
    """Write ``trials.csv`` and the config, and return the best trial, if there is one yet."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_header(search), *_lines(study, search)])
    write_text(search.folder / "trials.csv", out.getvalue())
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        return None
    best = study.best_trial
    config = search.config
    packaged = config.is_relative_to(PACKAGED)
    name = config.relative_to(PACKAGED).as_posix() if packaged else os.path.relpath(config, search.folder)
    values: dict[str, Any] = {"compose": [name]}
    for key, value in best.params.items():
        values = merge(values, _nested(key, value))
    comment = f"# Trial {best.number} of {_count(study)}: {search.monitor} {best.value:.4f} on validation.\n"
    write_text(search.best, comment + yaml.safe_dump(values, sort_keys=False))
    return best


def _nested(key: str, value: Any) -> dict[str, Any]:
    """A dotted key as mappings in mappings."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _table(study: optuna.Study, search: Search) -> Table:
    table = Table(title=f"{search.folder.name}: {search.monitor} on the validation users")
    for name in _header(search):
        table.add_column(name, justify="left" if name == "state" else "right")
    for line in _lines(study, search):
        table.add_row(*map(_show, line))
    return table


def _header(search: Search) -> list[str]:
    return ["trial", "state", search.monitor, "validations", *map(short, search.space), "seconds"]


def _lines(study: optuna.Study, search: Search) -> Iterator[list[Any]]:
    """A line per trial; the metric is that of its best validation."""
    for trial in study.trials:
        if trial.state == TrialState.WAITING:
            continue
        found = trial.intermediate_values.values()
        state = _KILLED if _KILLED in trial.user_attrs else trial.state.name.lower()
        seconds = round(trial.duration.total_seconds()) if trial.duration else None
        values = [trial.params.get(key) for key in search.space]
        yield [trial.number, state, best_of(study, found), len(found), *values, seconds]


def _show(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

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
combination of the lists is tried, in their order. A trial is a ``genrec fit`` in a process of its own, which ranks the
validation users and never sees a test user; one that is behind the median of the others at the same validation is
stopped. Where there is nothing to learn, a trial is a ``genrec validate``. The search is kept in ``journal.log``, so
that it goes on after it was killed.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import optuna
import yaml
from filelock import FileLock
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from genrec.config.files import PACKAGED, merge
from genrec.config.options import Options
from genrec.config.settings import changes
from genrec.errors import GenrecError
from genrec.io.console import wide_console
from genrec.io.files import write_text
from genrec.study.journal import PRUNED, best_of, mend, open_study, trial_of
from genrec.study.plan import STUDIES, check_extra, flags, short
from genrec.study.processes import Execute, claim, claimed, execute, stoppable
from genrec.study.search import Search, load_search
from genrec.study.settings import Resolve, full_config

_KILLED, _AGAIN, _SETTINGS, _SPACE, _ERROR = "killed", "again", "settings", "space", "error"
ENOUGH = 3
"""Trials that fail, and none that does not: it is not their values."""


def tune(arguments: Sequence[str], resolve: Resolve = full_config, execute: Execute = execute) -> None:
    """Run the trials that are missing, print them all, and write the best values into a config.

    Args:
        arguments: of the command line.
        resolve: makes a whole config of arguments.
        execute: runs a command.

    Raises:
        GenrecError: if the yaml, a key or a value is wrong, the trials that are there had other settings, or the first
            trials have all failed.
        SystemExit: with code 1 if no trial has come to its end.
    """
    options = Options("tune", "Search on validation; arguments after the name, such as --data.root DIR, are for all.")
    options.add_argument("study", metavar="STUDY", help="a yaml, or the name of a packaged one")
    options.add_argument("--config", metavar="CONFIG", help="search for this one, and not for that of the yaml")
    options.add_argument("--studies", default=STUDIES, metavar="DIR", help="the folder of all studies (%(default)s)")
    chosen, extra = options.parse_known_args(arguments)
    check_extra(extra)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search, settings = load_search(chosen.study, chosen.config, Path(chosen.studies), extra, resolve)
    search.folder.mkdir(parents=True, exist_ok=True)
    mend(search.folder)
    study = open_study(search.folder, search.mode)
    _check_same(study, search, settings)
    _retry_failed(study)
    with stoppable():
        while _run_next(study, search, execute):
            _write(study, search)
            _check_some_end(study, search)
    wide_console().print(_table(study, search))
    best = _write(study, search)
    if best is None:
        print("no trial has come to its end; the same command tries them again", file=sys.stderr)
        sys.exit(1)
    use = "fit" if search.learns else "test"
    print(f"trial {best.number} is the best; wrote {search.best}: genrec {use} --config {search.best}")


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
        log = search.folder / f"trial{trial.number}" / f"{search.command}.log"
        error = execute(_command(search, trial), log, lock)
        best = best_of(study, study.trials[trial.number].intermediate_values.values())
        if error or best is None:
            error = error or f"no validation has measured `{search.monitor}`, which checkpoints are kept by"
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
            for key in search.space:
                _suggest(trial, search, key)
            lock: IO[str] | None = held.enter_context(claim(search.folder / f"trial{trial.number}"))
        yield trial, lock


def _retry_killed(study: optuna.Study, search: Search) -> None:
    """Trials whose process is gone without a word are run again, with the same values."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        if not claimed(search.folder / f"trial{trial.number}"):
            trial_of(study, trial.number).set_user_attr(_KILLED, True)
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params)


def _retry_failed(study: optuna.Study) -> None:
    """Where no trial has come to its end, values were not the reason: all are run again."""
    if failed := _only_failed(study):
        study.set_user_attr(_AGAIN, [*study.user_attrs.get(_AGAIN, []), *(trial.number for trial in failed)])
        for trial in failed:
            study.enqueue_trial(trial.params)


def _check_some_end(study: optuna.Study, search: Search) -> None:
    """Look at the first trials.

    Raises:
        GenrecError: if they have all failed.
    """
    failed = _only_failed(study)
    if len(failed) >= ENOUGH:
        last = failed[-1]
        raise GenrecError(
            f"the first {len(failed)} trials have all failed, the last with: {last.user_attrs.get(_ERROR)} (see "
            f"{search.folder / f'trial{last.number}'}); the same command tries them again"
        )


def _only_failed(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that ended in an error, and are not run again; none where there are others."""
    failed = [trial for trial in study.get_trials(states=(TrialState.FAIL,)) if not _anew(study, trial)]
    return failed if len(failed) == _count(study) else []


def _count(study: optuna.Study) -> int:
    """Trials that were begun, without those that are run again."""
    return sum(trial.state != TrialState.WAITING and not _anew(study, trial) for trial in study.trials)


def _anew(study: optuna.Study, trial: FrozenTrial) -> bool:
    return _KILLED in trial.user_attrs or trial.number in study.user_attrs.get(_AGAIN, [])


def _suggest(trial: optuna.Trial, search: Search, key: str) -> None:
    values = search.space[key]
    if isinstance(values, list):
        trial.suggest_categorical(key, search.choices(key))
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
    return [search.command, "--config", str(search.config), *search.arguments, *own]


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
        values = merge(values, _nested(key, search.value(key, value)))
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

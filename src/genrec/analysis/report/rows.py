"""The rows of a table: runs that repeat an experiment with other seeds are one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from genrec.analysis.report import paper
from genrec.analysis.report.variants import all_seeds_differ, computed, describe, differences
from genrec.runs.results import Run, measured

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One method with one language model and one config.

    Args:
        method: how tables call it.
        backbone: the language model; None for a method without one.
        results: ``metrics.json`` of every run.
        runs: the runs themselves, where there are any.
        published: these are the paper's numbers.
    """

    method: str
    backbone: str | None
    results: Sequence[Mapping[str, Any]]
    runs: Sequence[Run] = ()
    published: bool = False

    def values(self, setting: str, metric: str) -> np.ndarray:
        """float64 [runs that have it], a metric or the number of users; empty where nobody is counted."""
        found = [result["settings"].get(setting, {}) for result in self.results]
        # What is not there is NaN: a mean over nobody, and what was not measured.
        values = [values.get(metric, np.nan) if values.get("users") != 0 else np.nan for values in found]
        measured = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        return measured[~np.isnan(measured)]

    @property
    def metrics(self) -> list[str]:
        """The names of what was measured."""
        return measured(self.results[0])

    @property
    def seconds(self) -> float | None:
        """The mean time of ranking all users."""
        found = [result["seconds"]["rank"] for result in self.results]
        return None if None in found else float(np.mean(found))

    @property
    def computed(self) -> dict[str, str]:
        """See `genrec.analysis.report.variants.computed`; nothing is known of the paper's runs."""
        return {} if self.published else computed(self.results[0])

    @property
    def trained(self) -> int | None:
        """How many parameters were trained; None where the runs do not say."""
        return next((result["parameters"]["trained"] for result in self.results if "parameters" in result), None)


def by_data(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs by the users and items they are about; data sets of one name may be cut differently."""
    return grouped(runs, lambda run: tuple(run.results[key] for key in ("dataset", "split", "users", "items")))


def names(data: Sequence[Sequence[Run]]) -> list[str]:
    """What to call data sets; those of one name are told apart by their split and size."""
    about = [same[0].results for same in data]
    short = [each["dataset"] for each in about]
    return [
        each["dataset"]
        if short.count(each["dataset"]) == 1
        else f"{each['dataset']}_{each['split']}_{each['users']}_users_{each['items']}_items"
        for each in about
    ]


def rows(runs: Sequence[Run]) -> list[Row]:
    """Runs of one data set by method, language model and config.

    Several configs of one method are told apart by what differs in them, and runs of one config by their batch, their
    processes and their precision, where those differ. Runs that have the very same seed are not averaged: each has a
    row with the name of its folder.
    """
    made = []
    for same_method in grouped(runs, lambda run: (run.results["method"], run.results.get("backbone"))):
        keys = differences(same_method)
        for same_config in grouped(same_method, partial(describe, keys=keys)):
            for repeated, how in computed_alike(same_config):
                made += _repetitions(repeated, [note for note in (describe(repeated[0], keys), how) if note])
    return made


def computed_alike(runs: Sequence[Run]) -> list[tuple[list[Run], str]]:
    """Runs with the same batch, processes and precision together, and what of it tells them from the others."""
    groups = grouped(runs, lambda run: tuple(computed(run.results).items()))
    first, *others = [computed(group[0].results) for group in groups]
    keys = [key for key in first if any(other[key] != first[key] for other in others)]
    return [
        (group, ", ".join(f"{key}={computed(group[0].results)[key] or 'unknown'}" for key in keys)) for group in groups
    ]


def _repetitions(runs: list[Run], notes: Sequence[str]) -> list[Row]:
    results = runs[0].results
    method, backbone = results["method"], results.get("backbone")
    if not all_seeds_differ(runs):
        return [_row(method, backbone, [run], [*notes, run.folder.name]) for run in runs]
    return [_row(method, backbone, runs, [*notes, f"{len(runs)} seeds"] if len(runs) > 1 else notes)]


def _row(method: str, backbone: str | None, runs: list[Run], notes: Sequence[str]) -> Row:
    label = f"{method} ({'; '.join(notes)})" if notes else method
    return Row(label, backbone, [run.results for run in runs], runs)


def with_published(rows: Sequence[Row]) -> list[Row]:
    """The same rows, and below the last of each method the numbers that the paper has for it."""
    made: list[Row] = []
    done = set()
    for row in reversed(rows):
        results = row.results[0]
        found = paper.published(results["dataset"], results["method"], row.backbone)
        if found and (results["method"], found["backbone"]) not in done:
            done.add((results["method"], found["backbone"]))
            made.append(Row(f"{results['method']} (published)", found["backbone"], [found], published=True))
        made.append(row)
    return made[::-1]


def grouped(values: Iterable[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """Values with the same key together, in the order in which the keys come up."""
    groups: dict[Hashable, list[T]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return list(groups.values())

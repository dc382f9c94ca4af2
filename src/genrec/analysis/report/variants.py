"""What tells runs of one method apart: their configs, and their seeds."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from genrec.config.settings import IGNORED, flat, show
from genrec.errors import GenrecError
from genrec.runs.layout import CONFIG
from genrec.runs.results import Run

_SEED = ("seed", "seed_everything")


def all_seeds_differ(runs: Sequence[Run]) -> bool:
    """Whether runs repeat an experiment; what has no config is known by the seed of its training alone."""
    whole = all(run.config for run in runs)
    return len({_seeds(run) if whole else run.results.get("seed") for run in runs}) == len(runs)


def _seeds(run: Run) -> tuple[Any, ...]:
    others = [value for key, value in sorted(flat(run.config).items()) if _last(key) == "seed"]
    return (run.results.get("seed"), *others)


def differences(runs: Sequence[Run]) -> list[str]:
    """The keys whose values are not the same in all configs, seeds and places left out; runs without a config agree."""
    configs = [flat(run.config) for run in runs if run.config]
    keys = dict.fromkeys(key for config in configs for key in config)
    return [
        key
        for key in keys
        if key not in IGNORED
        and _last(key) not in _SEED
        and any(config.get(key) != configs[0].get(key) for config in configs)
    ]


def describe(run: Run, keys: Sequence[str]) -> str:
    """What tells a run from others: its values for these keys, such as ``alpha=0.7, n_semantic=4``, and its test.

    A test with other settings than those of the training says which, and one of some users of how many.
    """
    parts = []
    if run.config:
        config = flat(run.config)
        names = [_last(key) for key in keys]
        short = [name if names.count(name) == 1 else key for key, name in zip(keys, names, strict=True)]
        parts = [f"{name}={show(config.get(key))}" for key, name in zip(keys, short, strict=True)]
    parts += [f"tested with {change}" for change in run.results.get("overrides", ())]
    tested, users = run.results["settings"]["all"]["users"], run.results["users"]
    if tested < users:
        parts.append(f"{tested:,} of {users:,} users")
    return ", ".join(parts)


def computed(results: Mapping[str, Any]) -> dict[str, str]:
    """Batch of a step, processes and precision of a training, as a table shows them; empty where they are not known.

    Those of a training that was resumed with others stand one after the other. A ranking in another precision than the
    training's is a part of it.

    >>> computed({"training": [{"batch": 128, "processes": 2, "nodes": 1, "precision": "bf16-mixed"}]})
    {'batch': '128', 'processes': '2', 'precision': 'bf16-mixed'}
    """
    parts = results.get("training", ())
    precisions = [part["precision"] for part in parts]
    ranked = results.get("precision")
    if ranked and ranked not in precisions[-1:]:
        precisions = [*precisions[:-1], f"{precisions[-1]}, ranked in {ranked}" if precisions else ranked]
    nodes = [f" on {part['nodes']} nodes" if part["nodes"] > 1 else "" for part in parts]
    found = {
        "batch": [str(part["batch"]) for part in parts],
        "processes": [f"{part['processes']}{node}" for part, node in zip(parts, nodes, strict=True)],
        "precision": precisions,
    }
    return {key: " then ".join(dict.fromkeys(values)) for key, values in found.items()}


def find_key(runs: Sequence[Run], name: str) -> str:
    """The dotted key that a name stands for: the key itself or the end of it.

    Raises:
        GenrecError: if no run's config has such a key, or it has several.
    """
    keys = sorted({key for run in runs for key in flat(run.config)})
    wanted = name.replace(".init_args", "")
    found = [key for key in keys if key == wanted or key.endswith(f".{wanted}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise GenrecError(f"`{name}` could be {', '.join(found)}: give more of the key")
    near = difflib.get_close_matches(wanted, [*keys, *map(_last, keys)], n=1)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    raise GenrecError(f"no run's {CONFIG} has the key `{name}`{hint}")


def _last(key: str) -> str:
    return key.rpartition(".")[2]

"""A trained run in use again: its own settings stand in for what the command line leaves open.

``genrec test --config toys_setrec_small.yaml`` is about the newest run of that config, whatever else was typed when it
was trained: model, data and assets are those of its ``config.yaml``. What is typed now wins, a wider beam for example.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from genrec.config.files import load_config
from genrec.config.settings import changes, flat, show
from genrec.errors import GenrecError
from genrec.io.checkpoints import read
from genrec.runs import layout, restoring
from genrec.runs.layout import OF_SLURM
from genrec.runs.trusted import SECTIONS, checked, look_here
from genrec.seeds import SEEDED, closed

_WORD = re.compile(r"[\w-]+|(\d\d:){3}\d\d")
"""Or a time, `DD:HH:MM:SS`."""
_SEEDS = [f"{name}.seed" for name in SEEDED]

SHOWN = 3
"""Changes that are told one by one."""


def newest(folder: Path, checkpoint: str) -> Path:
    """The newest run in a folder of runs that has a checkpoint.

    Raises:
        GenrecError: if there is none.
    """
    run = layout.newest_run(folder, f"{layout.CHECKPOINTS}/{checkpoint}")
    if run is None:
        raise GenrecError(
            f"no run with a {layout.CHECKPOINTS}/{checkpoint} under {folder}: run `genrec fit` with the same config "
            "first, or give --ckpt_path"
        )
    return run


def restarted() -> bool:
    """Whether a scheduler says that it has started this job before: SLURM, or torchrun."""
    return any(int(os.environ.get(name, 0)) > 0 for name in ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"))


def unfinished(folder: Path, config: Mapping[str, Any]) -> Path | None:
    """The newest run with the settings of a whole config that has a checkpoint to go on from and did not end."""
    for path in sorted(folder.glob(f"*/{layout.CONFIG}"), reverse=True):
        run = path.parent
        has_checkpoint = (run / layout.CHECKPOINTS / layout.LAST).exists() or any(run.glob(OF_SLURM))
        if has_checkpoint and not (run / layout.FIT).exists() and not changes(load_config(str(path)), config):
            return run
    return None


def checkpoint_to_resume(run: Path) -> str | None:
    """The checkpoint that a training goes on from; None where SLURM requeued its job before, and Lightning wrote one.

    Raises:
        GenrecError: if there are some, but all are damaged.
    """
    found, damaged = restoring.to_resume(run)
    if found and damaged:
        print(f"damaged in {run}: {_names(damaged)}; going on from {found.name}, the newest that is whole")
    elif damaged:
        raise GenrecError(f"there is nothing whole to go on from in {run} (damaged: {_names(damaged)}): train again")
    return str(found) if found else None


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths)


def check(checkpoint: Path) -> None:
    """Look at a checkpoint's file before it is read.

    Raises:
        GenrecError: if it is missing, or no checkpoint.
    """
    if not checkpoint.is_file():
        raise GenrecError(f"there is no checkpoint file `{checkpoint}`")
    read(checkpoint, whole=False)


def settings(run: Path, trust: bool) -> dict[str, Any] | None:
    """Model, data and assets of a run, with every default and seed; None if it did not keep its config.

    Args:
        run: its folder.
        trust: take them as they are; otherwise as `trusted.checked`, since somebody may have handed it over.
    """
    path = run / layout.CONFIG
    if not path.is_file():
        return None
    config = load_config(str(path))
    if not trust:
        return closed(checked(config, path), config)
    look_here(config)
    return _sections(config)


def untrusted(config: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """What an evaluation takes of a run's own config that somebody may have handed over.

    Args:
        config: the whole of it.
        file: where it is from.

    Returns:
        model, data and assets, see `trusted.checked`; the seed, and the trainer's numbers and words. Where to
        write is none of the run's business.

    Raises:
        GenrecError: if the trainer has callbacks, loggers or the like.
    """
    trainer = config.get("trainer")
    kept = {
        key: value
        for key, value in (trainer if isinstance(trainer, dict) else {}).items()
        if value not in (None, [], {})
    }
    kept.pop("default_root_dir", None)
    for key, value in kept.items():
        if not _plain(value):
            raise GenrecError(
                f"{file}: `trainer.{key!s:.80}` is more than numbers and words, and a run that somebody handed over "
                "could have anything run with it: give --trust if it is your own"
            )
    seed = {"seed_everything": config["seed_everything"]} if isinstance(config.get("seed_everything"), int) else {}
    return {**checked(config, file), **seed, "trainer": kept}


def _plain(value: Any) -> bool:
    """Whether a setting of the trainer names no class: a number, a word, a list of them, or numbers by name."""
    if isinstance(value, dict):
        return all(isinstance(item, int | float) for item in value.values())
    values = value if isinstance(value, list) else [value]
    return all(isinstance(item, bool | int | float) or _WORD.fullmatch(str(item)) for item in values)


def stand_in(arguments: Sequence[str], kept: Mapping[str, Any]) -> list[str]:
    """A command line with a run's settings behind its configs, and before all that is typed.

    Args:
        arguments: the command, then options; configs are ``--config`` and their contents.
        kept: `settings`.
    """
    command, *rest = arguments
    configs, typed = [], []
    options = iter(rest)
    for option in options:
        if option == "--config":
            configs += [option, next(options)]
        else:
            typed.append(option)
    return [command, *configs, "--config", yaml.safe_dump(dict(kept)), *typed]


def agree(kept: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether a whole config has every setting of a run already, but for seeds that it leaves open."""
    new = flat(config)
    return all(new.get(key) == value or (key in _SEEDS and new.get(key) is None) for key, value in flat(kept).items())


def check_method(run: Path, kept: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Look whether a run that was found by the name of a config is of the method of that config.

    Args:
        run: its folder.
        kept: `settings`.
        config: the whole config of the command.

    Raises:
        GenrecError: if another recommender was trained, or one with another identifier.
    """
    old, new = flat(kept), flat(config)
    for key in ("model.class_path", "model.identifier.class_path"):
        if key in old and key in new and old[key] != new[key]:
            raise GenrecError(
                f"the newest run, {run}, is of {show(old[key])}, and the config is of {show(new[key])}: train that "
                "first, or give --ckpt_path with the checkpoint that is meant"
            )


def overrides(kept: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """What a whole config has otherwise than the settings of a run, such as ``model.search.beams: 20 -> 50``.

    Where things lie and how they are computed does not count, nor does a key that the run does not know. What was left
    open has keys of its own once it is given, and the other way round.
    """
    old, new = flat(_sections(kept)), flat(_sections(config))
    told = {key: value for key, value in new.items() if _known(key, old)}
    return changes(old, {**{key: value for key, value in old.items() if not _known(key, new)}, **told})


def _known(key: str, config: Mapping[str, Any]) -> bool:
    """Whether a key, one above it or one below it is in a flat config."""
    return any(f"{key}.".startswith(f"{other}.") or other.startswith(f"{key}.") for other in config)


def of_part(run: Path, command: str, config: Mapping[str, Any]) -> list[str]:
    """Whether a whole config evaluates another checkpoint than a run's best, or fewer users, as `overrides` says it.

    Args:
        run: its folder, with a config.
        command: ``test``, ``validate`` or ``predict``.
        config: of the command.
    """
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    if checkpoint := config.get("ckpt_path"):
        best, used = run / layout.CHECKPOINTS / layout.BEST, Path(checkpoint)
        same_folder = used.resolve().parent == best.resolve().parent
        old["checkpoint"], new["checkpoint"] = best.name, used.name if same_folder else str(used)
    key = f"trainer.limit_{'val' if command == 'validate' else command}_batches"
    limit = flat(config).get(key)
    if limit is not None:
        old[key], new[key] = flat(load_config(str(run / layout.CONFIG))).get(key), limit
    return changes(old, new)


def tell(run: Path, kept: Sequence[str], overridden: Sequence[str]) -> None:
    """Print what a run has otherwise than its config says by now, and what the command has otherwise than the run."""
    if kept:
        print(f"{run} keeps the settings of its training: {_shown(kept)}")
    if overridden:
        print(f"other settings than those of its training: {_shown(overridden)}")


def tell_data(changed: Sequence[str]) -> None:
    """Say on standard error in which the data are not those of the training."""
    if changed:
        print(f"the data are not those of the training: {', '.join(changed)}; items are found by keys", file=sys.stderr)


def _shown(found: Sequence[str]) -> str:
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def _sections(config: Mapping[str, Any]) -> dict[str, Any]:
    return closed({name: config[name] for name in SECTIONS if name in config}, config)

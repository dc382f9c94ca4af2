"""The command line's arguments: configs composed, monitors that follow the cut-offs, keys that make no sense."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace, dict_to_namespace
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_only

from genrec.config.files import load_config
from genrec.config.reasons import SECTIONS
from genrec.config.settings import flat
from genrec.errors import GenrecError
from genrec.evaluation import metrics
from genrec.evaluation.protocol import Measure
from genrec.recommenders import RankingModule
from genrec.recommenders.base import learns
from genrec.runs import layout
from genrec.training.callbacks import LastCheckpoint
from genrec.training.trainer import Trainer

_LEAST = {
    "trainer.accumulate_grad_batches": 1,
    "trainer.check_val_every_n_epoch": 1,
    "trainer.log_every_n_steps": 1,
    "trainer.gradient_clip_val": 0,
    "early_stopping.patience": 0,
    "early_stopping.min_delta": 0,
    "last.minutes": 0,
    "last.steps": 1,
}
"""What Lightning would divide by, or take as something else."""

_AMOUNTS = {
    "fit": ("max_epochs", "max_steps", "limit_train_batches"),
    "validate": ("limit_val_batches",),
    "test": ("limit_test_batches",),
    "predict": ("limit_predict_batches",),
}

_SECTIONS = ("trainer", "data", "assets", "measure", "checkpoint", "last")

SECTIONS.update(trainer=Trainer, last=LastCheckpoint)

MONITORS = ("checkpoint.monitor", "early_stopping.monitor")
DEFAULT_MONITOR = f"val/{metrics.MAIN}@max(ks)"
"""Stands for what validation chooses by at the model's largest cut-off, which is known when all arguments are."""


def compose(
    arguments: list[str], accept: Callable[[dict[str, Any], Path, bool], dict[str, Any]] = lambda config, *_: config
) -> tuple[list[str], str, Path | None]:
    """Replace every ``--config NAME`` by the composed config; the name of the last one with a model becomes the run's.

    A run's own ``config.yaml`` stands for that run. Where none has a model, the last one names the run: what is trained
    has its own folder of runs, and other data or another trainer do not make two methods one.

    Args:
        arguments: of the command line.
        accept: is given every config, its path and whether it is a run's own; what it returns is taken.
    """
    args, name, run_folder, has_model = [], "run", None, False
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag not in ("--config", "-c"):
            args.append(argument)
            continue
        config = value if equals else next(rest, None)
        if config is None:
            raise GenrecError("--config takes the name of a config file")
        path = Path(config)
        of_run = path.name == layout.CONFIG and (path.parent / layout.CHECKPOINTS).is_dir()
        contents = load_config(config)
        for section in _SECTIONS:
            if not isinstance(contents.get(section, {}), dict):
                raise GenrecError(f"{path}: `{section}` holds other keys: it cannot be `{contents[section]!s:.80}`")
        args += ["--config", yaml.safe_dump(accept(contents, path, of_run))]
        if of_run:
            run_folder, name = path.parent, path.resolve().parent.parent.name
        elif "model" in contents or not has_model:
            name = path.stem
        has_model = has_model or "model" in contents
    return args, name, run_folder


class Parser(LightningArgumentParser):
    """Lightning's parser; a config that it prints or writes names the metric that is monitored."""

    checked = False
    """Whether what is written was checked when it was parsed; what `--print_config` prints is not yet."""

    def dump(self, namespace: Namespace, *args: Any, **kwargs: Any) -> str:
        """See `jsonargparse.ArgumentParser.dump`."""
        namespace = namespace.clone()
        follow_cut_offs(namespace)
        return str(super().dump(namespace, *args, **{"skip_validation": self.checked, **kwargs}))


def follow_cut_offs(config: Namespace) -> None:
    """Let the monitors that nobody has set be what validation chooses by at the model's largest cut-off."""
    ks = config.get("model.init_args.ks") or inspect.signature(RankingModule).parameters["ks"].default
    for key in _monitors(config):
        if config[key] == DEFAULT_MONITOR:
            config[key] = f"val/{metrics.main(ks)}"


def _monitors(config: Namespace) -> list[str]:
    """The keys of the monitors that there are; while it parses, the parser writes what may be null as a class."""
    keys = [*MONITORS, "early_stopping.init_args.monitor"]
    return [key for key in keys if config.get(key.rpartition(".")[0]) and config.get(key)]


def forget_monitors(config: Namespace) -> None:
    """Keep the last state as the best where there is no validation, and say so."""
    if config.trainer.limit_val_batches != 0:
        return
    config.early_stopping, config.checkpoint.monitor = None, None
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        print(
            "no validation (`trainer.limit_val_batches: 0`): best.ckpt is the last state, and what validation would "
            "choose, such as SETRec's beta, stays as it is"
        )


def check_numbers(config: Namespace) -> None:
    """Look for numbers that mean nothing where they stand.

    Raises:
        GenrecError: for a NaN, a seed that no generator takes, and what is less than it can be.
    """
    for key, value in flat(config.as_dict()).items():
        numbers = [each for each in (value if isinstance(value, list | tuple) else [value]) if _is_number(each)]
        if any(number != number for number in numbers):
            raise GenrecError(f"`{key}` is {value}, which is no number: give one")
        for number in numbers:
            if key.rpartition(".")[2] in ("seed", "seed_everything") and not 0 <= number < 2**32:
                raise GenrecError(f"`{key}` is a whole number from 0 to {2**32 - 1}, not {number}")
            if number < _LEAST.get(key, number):
                raise GenrecError(f"`{key}` is {number}: give {_LEAST[key]} or more")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_settings(settings: dict[str, Any]) -> None:
    """Look at the config of a fit that is not run yet; what its classes and its data say is said when it runs.

    Raises:
        GenrecError: for what `check_numbers`, `check_does` and `check_monitors` refuse, cut-offs and metrics that there
            are not.
    """
    config = dict_to_namespace(settings)
    check_numbers(config)
    if learns(settings["model"]["class_path"]):
        check_does("fit", config)
    if "ks" in (given := settings["model"].get("init_args", {})):
        metrics.check_cut_offs(given["ks"])
    Measure(**settings["measure"])
    if config.trainer.limit_val_batches != 0:
        check_monitors(config)


def check_does(command: str, config: Namespace) -> None:
    """Look for keys with which a command would end before it begins.

    Raises:
        GenrecError: if there is one.
    """
    for key in _AMOUNTS.get(command, ()):
        if config.trainer[key] == 0:
            raise GenrecError(f"with `trainer.{key}: 0` there is nothing to {'train' if command == 'fit' else command}")


def check_monitors(config: Namespace) -> None:
    """Look for monitors that are set to a cut-off that is not measured.

    A module or callback of the user's own may log any without a cut-off.

    Raises:
        GenrecError: if there is one.
    """
    ks = config.get("model.init_args.ks")
    if not ks:
        return
    main = metrics.main(ks)
    measured = [f"val/{name}" for k in sorted(ks) for name in metrics.names([k], config.measure.metrics)]
    measured += [f"val/{setting}/{main}" for setting in ("warm", "cold")]
    names = {key: str(config[key]) for key in _monitors(config)}
    logged = re.compile("val/(?!.*@)|val_sweep/|train/" if _may_log(config) else "val/(loss|chosen)$|val_sweep/|train/")
    unknown = [f"`{key}: {name}`" for key, name in names.items() if name not in measured and not logged.match(name)]
    if unknown:
        raise GenrecError(
            f"{' and '.join(unknown)} will not be measured with `model.init_args.ks: {list(ks)}`: there are "
            f"{', '.join(measured)}, and a Recommender's val/loss; a monitor that is not set is val/{main}"
        )


def _may_log(config: Namespace) -> bool:
    """Whether a module or callback of the user's own may log what ours do not."""
    return bool(config.trainer.callbacks) or not str(config.model.class_path).startswith("genrec.")

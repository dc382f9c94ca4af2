"""The command line's arguments: configs composed, monitors that follow the cut-offs, complaints in one line."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from jsonargparse import Namespace
from jsonargparse.typing import final
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_only

from genrec import runs
from genrec.assets import Asset, Assets
from genrec.backbones import Backbone
from genrec.checkpoints import LastCheckpoint
from genrec.configuration import load_config
from genrec.data import SequenceData, Source
from genrec.errors import GenrecError
from genrec.evaluation import RankingModule
from genrec.identifiers import ItemIdentifier


@final
class Stopping(EarlyStopping):
    """Lightning's, as a key of the command line that may be null."""


MONITORS = ("checkpoint.monitor", "early_stopping.monitor")
DEFAULT_MONITOR = "val/ndcg@max(ks)"
"""Stands for NDCG at the model's largest cut-off, which is known when all arguments are."""


def compose(
    arguments: list[str], accept: Callable[[dict[str, Any], Path, bool], dict[str, Any]] = lambda config, *_: config
) -> tuple[list[str], str, Path | None]:
    """Replace every ``--config NAME`` by the composed config; the last one's name becomes the run's.

    A run's own ``config.yaml`` stands for that run.

    Args:
        arguments: of the command line.
        accept: is given every config, its path and whether it is a run's own; what it returns is taken.
    """
    args, name, run_folder = [], "run", None
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
        of_run = path.name == runs.CONFIG and (path.parent / runs.CHECKPOINTS).is_dir()
        args += ["--config", yaml.safe_dump(accept(load_config(config), path, of_run))]
        name = path.stem
        if of_run:
            run_folder, name = path.parent, path.resolve().parent.parent.name
    return args, name, run_folder


class Parser(LightningArgumentParser):
    """Lightning's parser; a config that it prints or writes names the metric that is monitored."""

    def dump(self, namespace: Namespace, *args: Any, **kwargs: Any) -> str:
        """See `jsonargparse.ArgumentParser.dump`."""
        namespace = namespace.clone()
        follow_cut_offs(namespace)
        return str(super().dump(namespace, *args, **kwargs))


def follow_cut_offs(config: Namespace) -> None:
    """Let the monitors that nobody has set be NDCG at the model's largest cut-off."""
    ks = config.get("model.init_args.ks") or inspect.signature(RankingModule).parameters["ks"].default
    for key in _monitors(config):
        if config[key] == DEFAULT_MONITOR:
            config[key] = f"val/ndcg@{max(ks)}"


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


def check_seed(config: Namespace) -> None:
    """Look for a seed that no generator takes.

    Raises:
        GenrecError: if it is one.
    """
    seed = config.get("seed_everything")
    if not isinstance(seed, bool) and isinstance(seed, int) and not 0 <= seed < 2**32:
        raise GenrecError(f"`seed_everything` is a whole number from 0 to {2**32 - 1}, not {seed}")


def check_trains(config: Namespace) -> None:
    """Look for keys with which a training would end before it begins.

    Raises:
        GenrecError: if there is one.
    """
    for key in ("max_epochs", "max_steps", "limit_train_batches"):
        if config.trainer[key] == 0:
            raise GenrecError(f"with `trainer.{key}: 0` there is nothing to train")


def check_monitors(config: Namespace) -> None:
    """Look for monitors that are set to a cut-off that is not measured.

    A module or callback of the user's own may log any without a cut-off.

    Raises:
        GenrecError: if there is one.
    """
    ks = config.get("model.init_args.ks")
    if not ks:
        return
    measured = [f"val/{name}@{k}" for k in sorted(ks) for name in ("recall", "ndcg")]
    measured += [f"val/{setting}/ndcg@{max(ks)}" for setting in ("warm", "cold")]
    names = {key: str(config[key]) for key in _monitors(config)}
    logged = re.compile("val/(?!.*@)|val_sweep/|train/" if _may_log(config) else "val/(loss|chosen)$|val_sweep/|train/")
    unknown = [f"`{key}: {name}`" for key, name in names.items() if name not in measured and not logged.match(name)]
    if unknown:
        raise GenrecError(
            f"{' and '.join(unknown)} will not be measured with `model.init_args.ks: {list(ks)}`: there are "
            f"{', '.join(measured)}, and a Recommender's val/loss; a monitor that is not set is val/ndcg@{max(ks)}"
        )


def _may_log(config: Namespace) -> bool:
    """Whether a module or callback of the user's own may log what ours do not."""
    return bool(config.trainer.callbacks) or not str(config.model.class_path).startswith("genrec.")


def explain(message: str) -> str:
    """One line for people out of an argument parser's message.

    An unknown key or class comes with the nearest one that exists; a value of the wrong type with the type it should
    have. Anything else is passed on as it is.
    """
    line = " ".join(message.split())
    if found := _UNKNOWN_KEY.search(line):
        key = next(group for group in found.groups() if group)
        known = _known_keys()
        wrong = next((part for part in key.split(".") if part not in known), key)
        return f"unknown config key `{key}`" + _nearest(wrong, known)
    if found := _UNKNOWN_CLASS.search(line):
        names = "".join(f"; there are {', '.join(_options(options))}" for options in _LITERAL.findall(line)[:1])
        return f"unknown class `{found[1]}`" + (names or _nearest(found[1], {cls.__name__ for cls in _components()}))
    _, *inner = _WRONG_VALUE.split(line)
    if inner:
        key, problem = inner[-2:]
        value = re.search(r"Got value: (.+?)(?= - Expected|$)", problem) or re.search(r"Given value: (.+)$", problem)
        types = re.findall(r"Expected an? <class '(?:\w+\.)*(\w+)'>", problem[: value.start()] if value else problem)
        options = dict.fromkeys(option for found in _LITERAL.findall(problem) for option in _options(found))
        if value and not options and set(types) == {"NoneType"}:
            # Of a class that may be missing, all that is said is that this is not missing.
            nested = _NESTED.search(value[1])
            key, given = (nested[1], nested[2]) if nested else (key, value[1])
            return f"config key `{key}` cannot be `{'null' if given == 'None' else given}`"
        if value and (types or options):
            all_ = [*options, *(_NAMES.get(name, name) for name in types)]
            names = " or ".join([", ".join(all_[:-1]), all_[-1]] if len(all_) > 1 else all_)
            return f"config key `{key}`: expected {names}, not `{value[1]}`"
    if found := re.search(r"Parser key \"([\w.]+)\": Unable to load config [\"']null", line):
        return f"config key `{found[1]}` cannot be null"
    if found := re.search(r"Parser key \"([\w.]+)\": Unable to load config '(.+?)' - ", line):
        return f"config key `{found[1]}` holds other keys: it cannot be `{found[2]}`"
    if "arguments are required" in line:
        return f"{line}: give a config file with --config, such as --config synthetic_setrec.yaml"
    return line


_UNKNOWN_KEY = re.compile(
    r"[Kk]ey ['\"`]([\w.]+)['\"`] is not expected"
    r"|[Uu]nrecognized arguments?: --([\w.]+)"
    r"|does not accept option ['\"`]([\w.]+)"
    r"|Option ['\"`]([\w.]+)['\"`] is not accepted"
)
_UNKNOWN_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
_NESTED = re.compile(r"NestedArg\(key='([\w.]+)', val=(.*)\)")
_NAMES = {"NoneType": "nothing", "Sequence": "a list", "Mapping": "a mapping"}
_WRONG_VALUE = re.compile(r'Parser key "([\w.]+)":')


_LITERAL = re.compile(r"Expected a typing\.Literal\[([^]]*)\]")


def _options(literal: str) -> list[str]:
    return [option.strip("' ") for option in literal.split(",")]


def _nearest(name: str, known: set[str]) -> str:
    by_lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean `{by_lower[near[0]]}`?" if near else ""


def _components() -> list[type]:
    """Every class that a config can name."""
    bases: list[Any] = [RankingModule, ItemIdentifier, Backbone, Source, Asset]
    return [cls for base in bases for cls in (base, *all_subclasses(base))]


def _known_keys() -> set[str]:
    """The parameter names of everything that a config can name."""
    classes = [L.Trainer, SequenceData, Assets, ModelCheckpoint, EarlyStopping, LastCheckpoint, *_components()]
    keys = {"model", "data", "trainer", "assets", "checkpoint", "early_stopping", "seed_everything", "ckpt_path"}
    keys |= {"runs", "output", "requeue", "float32_matmul", "last", "class_path", "init_args", "config"}
    return keys.union(*(inspect.signature(cls).parameters for cls in classes))


def all_subclasses(cls: Any) -> Iterator[Any]:
    """Every class below one, at any depth."""
    for subclass in cls.__subclasses__():
        yield subclass
        yield from all_subclasses(subclass)

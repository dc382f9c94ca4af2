"""From a run's config to its module and data, without a trainer, a new folder, or a word on standard output."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from genrec.assets import Assets
from genrec.config.failures import constructing
from genrec.config.files import find_config, load_config
from genrec.config.signatures import find_class, parameters
from genrec.data import SequenceData, Source
from genrec.errors import GenrecError
from genrec.io.checkpoints import read
from genrec.recommenders import RankingModule
from genrec.recommenders.alone import load_weights
from genrec.runs import layout
from genrec.runs.plugins import plugins
from genrec.runs.trusted import SECTIONS, checked
from genrec.seeds import closed


def find_run(path: Path) -> Path:
    """The run of a folder, or the newest run in a folder of runs that has a best checkpoint, or else results.

    Raises:
        GenrecError: if there is none.
    """
    for file in (f"{layout.CHECKPOINTS}/{layout.BEST}", layout.METRICS):
        if run := layout.newest_run(path, file):
            return run
    raise GenrecError(
        f"there is no trained recommender in `{path}`: give the folder of a run that has a best checkpoint, of several "
        "runs, or one that `save_pretrained` wrote"
    )


def config_of(run: Path, data_root: str | Path | None, trust: bool = False) -> dict[str, Any]:
    """The `SECTIONS` of a run's config, with folders that are found from here.

    Relative folders are those of the working folder that the run was made in, which is where its ``runs`` are; what is
    not there belongs to the present one.

    Args:
        run: its folder. Without a config in it, the config of the run's name is looked up.
        data_root: the folder of the data; None takes the config's.
        trust: see `genrec.runs.trusted.checked`.

    Raises:
        GenrecError: if there is no config, or it is not to be trusted.
    """
    kept = run / layout.CONFIG
    if not kept.is_file():
        try:
            kept = find_config(f"{run.resolve().parent.name}.yaml")
        except GenrecError as error:
            raise GenrecError(f"`{run}` has no {layout.CONFIG}, and {error}") from error
    config = load_config(str(kept))
    made_in = _working_folder(run, str(config.get("runs", "runs")))
    sections = closed(checked({name: config.get(name) or {} for name in SECTIONS}, kept, trust), config)
    if data_root is not None:
        sections["data"]["root"] = str(data_root)
    for name, usual in (("data", "data"), ("assets", "data/assets")):
        root = Path(sections[name].get("root") or usual)
        root = made_in / root if (made_in / root).exists() else root
        inside = any(root.resolve().is_relative_to(place.resolve()) for place in (made_in, Path()))
        if not (trust or inside or root.exists()):
            raise GenrecError(
                f"{kept}: `{name}.root` is `{root}`, which is not there: make the folder, say where the data are "
                "(`data_root=`, --data.root), or trust the run (`trust=True`, --trust)"
            )
        sections[name]["root"] = str(root)
    return sections


def _working_folder(run: Path, root: str) -> Path:
    """Where ``genrec`` was run: the run is ``<there>/<root>/<name>/<time>``."""
    parents = run.resolve().parents
    depth = 1 + len(Path(root).parts)
    return parents[depth] if not Path(root).is_absolute() and depth < len(parents) else Path()


def build(config: Mapping[str, Any]) -> Namespace:
    """The module and the data that a config describes, as ``model`` and ``data``.

    Args:
        config: `SECTIONS`, as in a config file; without ``data`` there is none in the result.

    Raises:
        GenrecError: if a key or class is unknown, or a value is of the wrong type.
    """
    plugins()
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_lightning_class_args(RankingModule, "model", subclass_mode=True)
    if "data" in config:
        parser.add_lightning_class_args(SequenceData, "data")
    parser.add_class_arguments(Assets, "assets")
    parser.link_arguments("assets", "model.init_args.assets", apply_on="instantiate")
    return _instantiated(parser, config)


def data_of(source: Source, options: Mapping[str, Any]) -> SequenceData:
    """The data module of a source that is there already.

    Args:
        source: gives the data set.
        options: the other arguments, as in a config file.

    Raises:
        GenrecError: if an argument is unknown, or of the wrong type.
    """
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_class_arguments(SequenceData, "data", skip={"source"}, instantiate=False)
    return SequenceData(source, **_instantiated(parser, {"data": options}).get("data", {}))


def _instantiated(parser: LightningArgumentParser, config: Mapping[str, Any]) -> Namespace:
    try:
        # The parser puts what it has parsed into lists and mappings that it is given. What is not given is the class's
        # own default: to look it up and check it, too, took more than half of the time.
        parsed = parser.parse_object(copy.deepcopy(dict(config)), defaults=False)
        if "model" in parsed and "assets" in parameters(find_class(parsed.model.class_path)):
            parsed["model.init_args.assets"] = None  # a place for what the link brings
        return parser.instantiate_classes(parsed)
    except Exception as error:
        if said := constructing(error):
            raise GenrecError(said) from error
        raise


def restore(model: RankingModule, checkpoint: Path) -> None:
    """Give a module the parameters of a checkpoint.

    Raises:
        GenrecError: if the checkpoint is missing, damaged, or that of another model.
    """
    contents = read(checkpoint)
    model.on_load_checkpoint(contents)
    load_weights(model, contents["state_dict"], checkpoint)

"""A recommender as a folder that needs neither the data set nor the run it came from: safetensors, json and parquet.

=================== =================================================================================
``recommender.json`` what it is made of: classes and arguments as in a config
``items.parquet``   the catalogue, and how often every item was taken in training
``model.safetensors`` the parameters, without those that the language model's own folder or name bring
``assets/``         what was asked of the asset store, a file per recipe, for items that are added later
``tokenizer/``      of a language model that was made new
``language_model/`` a pre-trained one that was trained on: as Hugging Face saves it
=================== =================================================================================

No user's history is in it. A pre-trained language model that did not learn itself (adapters, frozen) is not in it
either, but fetched by its name.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from genrec.assets import Asset, AssetStore
from genrec.assets.base import WithoutUsers
from genrec.backbones import Backbone
from genrec.building import build, load_weights, set_up
from genrec.data import Catalog, Dataset, InMemory, Ragged, SequenceData
from genrec.errors import GenrecError
from genrec.evaluation import RankingModule
from genrec.recommender import Recommender
from genrec.runs import set_aside
from genrec.versions import versions

FILE, ITEMS, WEIGHTS, ASSETS = "recommender.json", "items.parquet", "model.safetensors", "assets"
TOKENIZER, LANGUAGE_MODEL = "tokenizer", "language_model"
COUNT = "count"
FORMAT = 1


class SavedStore(AssetStore):
    """The arrays in the folder of a saved recommender, found by the names of their recipes."""

    def _arrays(self, asset: Asset, dataset: Dataset) -> dict[str, np.ndarray]:
        path = self.root / f"{asset.name}.safetensors"
        if path.is_file():
            return _read_arrays(path)
        if isinstance(asset, WithoutUsers):
            return asset.build(dataset, self.root)
        raise GenrecError(f"`{path}` is missing: save the recommender again")


class Anonymous(Dataset):
    """A data set whose users are left out: items, and how often each was taken in training.

    Args:
        name: of the data set.
        catalog: N items.
        counts: int64 [N].
    """

    def __init__(self, name: str, catalog: Catalog, counts: np.ndarray) -> None:
        nobody = Ragged.from_lists([])
        super().__init__(name, catalog, [], nobody, nobody, nobody)
        self.__dict__["frequency"] = counts

    def _splits(self) -> Any:
        return iter(())


def is_saved(folder: Path) -> bool:
    """Whether `save` wrote the folder."""
    return (folder / FILE).is_file()


def save(model: RankingModule, data: SequenceData, config: Mapping[str, Any], folder: Path) -> None:
    """Write a recommender into a new folder; an older one of that name is renamed.

    Args:
        model: set up, with its final parameters.
        data: what it was set up with.
        config: the sections that it was built from.
        folder: where.

    Raises:
        GenrecError: if it cannot be written.
    """
    unfinished = folder.with_name(f".{os.getpid()}.{folder.name}")
    try:
        unfinished.mkdir(parents=True)
        try:
            _write(model, data, copy.deepcopy(dict(config)), unfinished)
            unfinished.rename(set_aside(folder))
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise GenrecError(f"cannot write `{folder}`: {error.strerror or error}") from error


def _write(model: RankingModule, data: SequenceData, config: dict[str, Any], folder: Path) -> None:
    dataset, catalog = model.dataset, model.catalog if isinstance(model, Recommender) else model.dataset.catalog
    counts = np.pad(dataset.frequency, (0, len(catalog) - len(dataset.catalog)))
    catalog.items.with_columns(pl.Series(COUNT, counts)).write_parquet(folder / ITEMS)
    brought: list[str] = []
    if isinstance(model, Recommender):
        brought = _write_language_model(model.backbone, config["model"]["init_args"]["backbone"], folder)
        _write_assets(model, folder / ASSETS)
    _write_weights(model, brought, folder / WEIGHTS)
    about = {
        "format": FORMAT,
        **versions("genrec"),
        "dataset": dataset.name,
        "items": len(dataset.catalog),
        "brought": brought,
        "model": config["model"],
        "assets": {name: config["assets"].get(name) for name in ("text", "cf")},
        "data": {name: value for name, value in config["data"].items() if name not in ("source", "root")},
    }
    (folder / FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _write_language_model(backbone: Backbone, config: dict[str, Any], folder: Path) -> list[str]:
    """Save what `Backbone.setup` will read, and name it in the config.

    Returns:
        what the names of those parameters begin with that come back with it.
    """
    options = config.setdefault("init_args", {})
    if options.get("pretrained") is None:
        backbone.tokenizer.save_pretrained(str(folder / TOKENIZER))
        options["tokenizer"] = TOKENIZER
        return []
    if backbone.kept_elsewhere():
        return []
    brought = []
    backbone.tokenizer.save_pretrained(str(folder / LANGUAGE_MODEL))
    for name, part in backbone.named_children():
        if isinstance(part, PreTrainedModel):
            part.save_pretrained(str(folder / LANGUAGE_MODEL))
            brought.append(f"backbone.{name}.")
    options["pretrained"] = LANGUAGE_MODEL
    options.pop("gguf_file", None)
    return brought


def _write_assets(model: Recommender, folder: Path) -> None:
    store = model.assets.store
    folder.mkdir()
    for name, asset in list(store.asked.items()):
        arrays = store.get(asset, model.dataset)
        words = {key: array.tolist() for key, array in arrays.items() if array.dtype.kind == "U"}
        numbers = {key: np.ascontiguousarray(array) for key, array in arrays.items() if key not in words}
        save_arrays(numbers, folder / f"{name}.safetensors", {"words": json.dumps(words)})


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with _opened(path, "numpy") as file:
        words = json.loads((file.metadata() or {}).get("words", "{}"))
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
    return {**arrays, **{key: np.array(values, dtype=np.str_) for key, values in words.items()}}


def _opened(path: Path, framework: str) -> Any:
    try:
        return safe_open(path, framework=framework)
    except (OSError, SafetensorError) as error:
        raise GenrecError(f"`{path}` is missing or damaged ({error}): get the folder again") from error


def _write_weights(model: RankingModule, brought: list[str], path: Path) -> None:
    """The state dict; tensors that share their memory, such as tied embeddings, are written once."""
    checkpoint = {"state_dict": dict(model.state_dict())}
    model.on_save_checkpoint(checkpoint)
    first: dict[tuple[Any, ...], str] = {}
    same, own = {}, {}
    for name, tensor in checkpoint["state_dict"].items():
        if name.startswith(tuple(brought)):
            continue
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and place in first:
            same[name] = first[place]
        else:
            first[place] = name
            own[name] = tensor.detach().cpu().contiguous().clone()
    save_file(own, path, {"format": "pt", "same": json.dumps(same)})


def _read_weights(model: RankingModule, brought: list[str], path: Path) -> dict[str, Tensor]:
    with _opened(path, "pt") as file:
        same = json.loads((file.metadata() or {}).get("same", "{}"))
    weights = load_file(path)
    weights.update({name: weights[first] for name, first in same.items()})
    if brought:
        mine = model.state_dict()
        weights.update({name: mine[name] for name in mine if name.startswith(tuple(brought))})
    model.on_load_checkpoint({"state_dict": weights})
    return weights


def read(folder: Path) -> tuple[RankingModule, SequenceData, dict[str, Any]]:
    """The recommender that `save` wrote: the module, data without users, and the config.

    Raises:
        GenrecError: if a file is missing, damaged or of a later version.
    """
    about = _about(folder / FILE)
    config = {name: about[name] for name in ("model", "assets", "data")}
    _find_language_model(config["model"], folder)
    model = build({"model": config["model"], "assets": config["assets"]}).model
    try:
        items = pl.read_parquet(folder / ITEMS)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise GenrecError(f"`{folder / ITEMS}` is missing or damaged: get the folder again") from error
    known, added = items.head(about["items"]), items.slice(about["items"])
    dataset = Anonymous(about["dataset"], Catalog(known), known[COUNT].to_numpy())
    data = SequenceData(InMemory(dataset), **config["data"])
    if isinstance(model, Recommender):
        model.assets.store = SavedStore(folder / ASSETS)
    set_up(model, data)
    if isinstance(model, Recommender) and len(added):
        # Before the weights: the identifiers that these items have are among them.
        model.add_items(added)
    load_weights(model, _read_weights(model, about["brought"], folder / WEIGHTS), folder / WEIGHTS)
    return model, data, config


def _about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        found = about["format"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise GenrecError(f"`{path}` is missing or damaged: get the folder again") from error
    if found != FORMAT:
        raise GenrecError(f"`{path}` has format {found}, this version of genrec reads {FORMAT}: install another")
    return about


def _find_language_model(config: dict[str, Any], folder: Path) -> None:
    """Name the saved tokenizer or language model by where it is now."""
    options = config["init_args"].get("backbone", {}).get("init_args", {}) if "init_args" in config else {}
    for name, kept in (("tokenizer", TOKENIZER), ("pretrained", LANGUAGE_MODEL)):
        if options.get(name) == kept and (folder / kept).is_dir():
            options[name] = str(folder / kept)

"""A recommender as a folder that needs neither the data set nor the run it came from: safetensors, json and parquet.

=================== =================================================================================
``recommender.json`` what it is made of: classes and arguments as in a config; every file, with its hash
``items.parquet``   the catalogue, how often every item was taken in training, and whether it may be recommended
``model.safetensors`` the parameters, without those that the language model's own folder or name bring
``index/``          of an index of the items that was in use, what took long (`serving.kept_index`)
``assets/``         what was asked of the asset store, by the keys of the recipes, for items that are added later
``adapter/``        of adapters of a pre-trained model, the same again as peft reads them, with the embeddings of new
                    tokens: for other programs (`Backbone.save_adapter`)
folders             what else the language model reads (`Backbone.save`): ``tokenizer/`` of one that was made new,
                    ``language_model/`` of a pre-trained one that was trained on, as Hugging Face saves it
=================== =================================================================================

No user's history is in it, and nothing about optimisers: it is for use (`serving.loading` reads it). A pre-trained
language model that did not learn itself (adapters, frozen) is not in it either, but fetched by its name.
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
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from genrec.assets import AssetStore
from genrec.backbones import Backbone
from genrec.data import Dataset, SequenceData
from genrec.decoding.code_sums import CodeIndex
from genrec.decoding.vector_index import VectorIndex
from genrec.errors import GenrecError
from genrec.io import manifest
from genrec.io.files import set_aside
from genrec.recommenders import RankingModule
from genrec.runs.trusted import checked
from genrec.serving import kept_index
from genrec.serving.kept_index import Place

ITEMS, WEIGHTS, ASSETS, ADAPTER = "items.parquet", "model.safetensors", "assets", "adapter"
COUNT, CANDIDATE = "count", "candidate"


def save(
    model: RankingModule,
    data: SequenceData,
    config: Mapping[str, Any],
    folder: Path,
    index: VectorIndex | CodeIndex | None = None,
) -> None:
    """Write a recommender into a new folder; an older one of that name is renamed.

    Args:
        model: set up, with its final parameters.
        data: what it was set up with.
        config: the sections that it was built from.
        folder: where.
        index: goes with it, where it took long to build.

    Raises:
        GenrecError: if it cannot be written.
    """
    if Path.cwd().is_relative_to(folder.resolve()):
        raise GenrecError(f"cannot write `{folder}`, which the working folder lies in: give the name of a new folder")
    folder = folder.resolve()
    unfinished = folder.with_name(f".{os.getpid()}.{folder.name}")
    try:
        unfinished.mkdir(parents=True)
        try:
            if isinstance(index, VectorIndex) and index.kind != "exact":
                kept_index.write(Place.of_saved(unfinished).file(index.kind), index)
            _write(model, data, copy.deepcopy(dict(config)), unfinished)
            unfinished.rename(set_aside(folder))
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise GenrecError(f"cannot write `{folder}`: {error.strerror or error}") from error


def _write(model: RankingModule, data: SequenceData, config: dict[str, Any], folder: Path) -> None:
    config = checked(config, folder)
    dataset, catalog = model.known, model.catalog
    counts = np.pad(dataset.frequency, (0, len(catalog) - len(dataset.catalog)))
    columns = pl.Series(COUNT, counts), pl.Series(CANDIDATE, model.candidates)
    catalog.items.with_columns(*columns).write_parquet(folder / ITEMS)
    folders: dict[str, str] = {}
    brought: list[str] = []
    if model.backbone is not None:
        folders = _write_backbone(model.backbone, config["model"]["init_args"]["backbone"], folder)
        names = model.identifier and model.identifier.token_sequences()
        model.backbone.save_adapter(folder / ADAPTER, names.rows() if names else {})
        brought = [f"backbone.{part}." for part in model.backbone.brings()] if folders else []
    if model.assets is not None:
        _write_assets(model.assets.store, model.known, folder / ASSETS)
    _write_weights(model, brought, folder / WEIGHTS)
    about = {
        "dataset": dataset.name,
        "items": len(dataset.catalog),
        "folders": folders,
        "brought": brought,
        "model": config["model"],
        "assets": {name: config["assets"].get(name) for name in ("text", "cf", "sources", "seed")},
        "data": {name: value for name, value in config["data"].items() if name not in ("source", "root", "foreign")},
    }
    manifest.write(folder, about)


def _write_backbone(backbone: Backbone, config: dict[str, Any], folder: Path) -> dict[str, str]:
    """Save what `Backbone.setup` will read, and name it in the config.

    Returns:
        the folders, by the arguments that name them.
    """
    options = config.setdefault("init_args", {})
    changed = backbone.save(folder)
    for name, value in changed.items():
        if value is None:
            options.pop(name, None)
        else:
            options[name] = value
    return {name: value for name, value in changed.items() if value is not None}


def _write_assets(store: AssetStore, dataset: Dataset, folder: Path) -> None:
    folder.mkdir()
    for key, asset in list(store.asked.items()):
        arrays = store.get(asset, dataset)
        words = {name: array.tolist() for name, array in arrays.items() if array.dtype.kind == "U"}
        numbers = {name: np.ascontiguousarray(array) for name, array in arrays.items() if name not in words}
        save_arrays(numbers, folder / f"{key}.safetensors", {"words": json.dumps(words)})


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

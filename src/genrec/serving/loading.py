"""A saved recommender, read again. Its folder is data: it may come from anybody, and nothing in it is run.

See `genrec.runs.trusted` for what its config may name, and `genrec.io.manifest` for its files.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from genrec.assets import Asset, AssetStore
from genrec.assets.keys import key_of
from genrec.assets.recipe import WithoutUsers
from genrec.data import Catalog, Dataset, InMemory, SequenceData
from genrec.data.catalog import SCHEMA
from genrec.data.dataset import Anonymous
from genrec.errors import GenrecError
from genrec.io import manifest
from genrec.io.bounds import at_most
from genrec.recommenders import RankingModule
from genrec.recommenders.alone import load_weights, set_up
from genrec.runs.building import build, data_of
from genrec.runs.trusted import checked
from genrec.seeds import with_seed
from genrec.serving.saving import ASSETS, CANDIDATE, COUNT, ITEMS, WEIGHTS

PACKED = 200
"""A table of items that is so many times as large in memory as in its file was made to fill the memory."""
ALWAYS = 2**24
"""Bytes that are never too many."""
FEW, KEYS = 2**20, 8
"""Items that are never too many, and how many more a byte of the file can hold: their keys differ."""
WORDS = 2**30
"""Bytes of one array of words."""
ADAPTER = "adapter_config.json"
"""Beside a language model, it has another one loaded."""


class SavedStore(AssetStore):
    """The arrays in the folder of a saved recommender, found by the keys of their recipes."""

    def _arrays(self, asset: Asset, dataset: Dataset) -> dict[str, np.ndarray]:
        path = self._file(asset)
        if path.is_file():
            return _read_arrays(path)
        if isinstance(asset, WithoutUsers):
            return asset.build(dataset, self.root)
        raise GenrecError(f"`{path}` is missing: save the recommender again")

    def has(self, asset: Asset, dataset: Dataset) -> bool:
        """See `AssetStore.has`."""
        return self._file(asset).is_file()

    def diagnostics(self, asset: Asset, dataset: Dataset) -> dict[str, Any]:
        """See `AssetStore.diagnostics`: what building told stays where it was built."""
        return {}

    def _file(self, asset: Asset) -> Path:
        return self.root / f"{key_of(with_seed(asset, self.seed))}.safetensors"


def read(folder: Path, trust: bool = False) -> tuple[RankingModule, SequenceData, dict[str, Any]]:
    """The recommender that `genrec.serving.saving.save` wrote: the module, data without users, and the config.

    Args:
        folder: where.
        trust: see `genrec.runs.trusted.checked`.

    Raises:
        GenrecError: if a file is missing, damaged, of another version, or asks for more than a recommender needs.
    """
    about = manifest.read(folder)
    try:
        return _build(folder, about, trust)
    except GenrecError as error:
        raise error if str(folder) in str(error) else GenrecError(f"`{folder}`: {error}") from error
    except Exception as error:
        # Whatever is wrong in a file that somebody else made: there is no telling where it comes to light.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise GenrecError(f"`{folder}` holds no recommender that can be used ({reason}): get it again") from error


def _build(folder: Path, about: dict[str, Any], trust: bool) -> tuple[RankingModule, SequenceData, dict[str, Any]]:
    config = checked({name: about[name] for name in ("model", "assets", "data")}, folder / manifest.FILE, trust)
    items = read_items(folder / ITEMS, about["items"])
    _find_folders(config["model"], folder, about)
    model = build({"model": config["model"], "assets": config["assets"]}).model
    known, added = items.head(about["items"]), items.slice(about["items"])
    dataset = Anonymous(about["dataset"], Catalog(known), known[COUNT].to_numpy())
    data = data_of(InMemory(dataset), config["data"])
    if model.assets is not None:
        model.assets.store = SavedStore(folder / ASSETS, model.assets.store.seed)
    if model.backbone is not None:
        model.backbone.only_safetensors = True
    with at_most(lambda: (folder / WEIGHTS).stat().st_size, f"`{folder / WEIGHTS}`"):
        set_up(model, data)
    if len(added):
        # Before the weights: the identifiers that these items have are among them.
        model.add_items(added, added[CANDIDATE].to_numpy())
    load_weights(model, _read_weights(model, about["brought"], folder / WEIGHTS), folder / WEIGHTS)
    return model, data, config


def read_items(path: Path, known: int) -> pl.DataFrame:
    """The catalogue and its counts, once its file is found to be no larger than it seems.

    Args:
        path: the file.
        known: items that it holds at least.

    Raises:
        GenrecError: if it is damaged, or another table.
    """
    import pyarrow.parquet as pq  # takes longer than most tables

    wanted: dict[str, Any] = {**SCHEMA, COUNT: pl.Int64(), CANDIDATE: pl.Boolean()}
    try:
        about = pq.read_metadata(path)
        groups = (about.row_group(number) for number in range(about.num_row_groups))
        size = sum(group.total_byte_size for group in groups)
        room = path.stat().st_size
        if size > ALWAYS + PACKED * room or about.num_rows > FEW + KEYS * room:
            raise GenrecError(
                f"`{path}` says that {room:,} bytes hold {about.num_rows:,} items, {size:,} bytes in memory: it was "
                "made to fill it"
            )
        found = dict(pl.read_parquet_schema(path))
        if found != wanted or not 1 <= known <= about.num_rows:
            raise GenrecError(f"`{path}` is not the table of items that was saved: get the folder again")
        items = pl.read_parquet(path)
    except GenrecError:
        raise
    except Exception as error:  # of the readers, which have many
        raise GenrecError(f"`{path}` is missing or damaged: get the folder again") from error
    if items.filter(pl.col(COUNT).is_null() | (pl.col(COUNT) < 0)).height:
        raise GenrecError(f"`{path}`: every item was taken 0 times or more: get the folder again")
    if items[CANDIDATE].null_count() or not items[CANDIDATE].head(known).all():
        raise GenrecError(f"`{path}`: what was trained on may be recommended: get the folder again")
    return items


def _find_folders(config: dict[str, Any], folder: Path, about: dict[str, Any]) -> None:
    """Name the folders that the backbone saved by where they are now.

    Raises:
        GenrecError: if the config does not name one, or there is more in it than was saved.
    """
    options = config["init_args"].get("backbone", {}).get("init_args", {}) if "init_args" in config else {}
    for name, kept in about["folders"].items():
        if options.get(name) != kept:
            raise GenrecError(f"`{folder / manifest.FILE}`: `{name!s:.80}` of the backbone is no folder: get it again")
        manifest.check_folder(about, folder, kept)
        _check_references(folder / kept, about["files"], kept)
        options[name] = str(folder / kept)


def _check_references(folder: Path, files: Collection[str], part: str) -> None:
    """Whether a language model is made of files of its folder alone."""
    if (folder / ADAPTER).exists():
        raise GenrecError(f"`{folder / ADAPTER}` names another model, where none belongs: get the folder again")
    for index in folder.glob("*.index.json"):
        for name in set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()):
            if f"{part}/{name}" not in files:
                raise GenrecError(f"`{index}` names `{name!s:.80}`, which was not saved: get the folder again")


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with _opened(path, "numpy") as file:
        words = json.loads((file.metadata() or {}).get("words", "{}"))
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
    for key, values in words.items():
        # An array of words has room for the longest in every place.
        if 4 * len(values) * max(map(len, values), default=0) > WORDS:
            raise GenrecError(f"`{path}`: the words of `{key}` would fill the memory")
        arrays[key] = np.array(values, dtype=np.str_)
    return arrays


def _opened(path: Path, framework: str) -> Any:
    try:
        return safe_open(path, framework=framework)
    except (OSError, SafetensorError) as error:
        raise GenrecError(f"`{path}` is missing or damaged ({error}): get the folder again") from error


def _read_weights(model: RankingModule, brought: list[str], path: Path) -> dict[str, Tensor]:
    with _opened(path, "pt") as file:
        same = json.loads((file.metadata() or {}).get("same", "{}"))
    weights = load_file(path)
    weights.update({name: weights[first] for name, first in same.items()})
    if brought:
        brings = model.backbone.brings() if model.backbone is not None else ()
        if not {f"backbone.{part}." for part in brings}.issuperset(brought):
            raise GenrecError(f"`{path}` lacks what no language model brings (`brought`): get the folder again")
        mine = model.state_dict()
        weights.update({name: mine[name] for name in mine if name.startswith(tuple(brought))})
    model.on_load_checkpoint({"state_dict": weights})
    return weights

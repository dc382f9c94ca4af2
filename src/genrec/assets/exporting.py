"""What was built, as files for others: vectors and codes under the items' keys, as `genrec.assets.given` reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl

from genrec.assets.derived import Derived
from genrec.assets.given import KEY, VECTOR
from genrec.assets.item_assets import ItemAssets
from genrec.assets.recipe import EMBEDDINGS, EmbeddingAsset, ItemCodes
from genrec.errors import GenrecError
from genrec.io.files import set_aside, write_new, write_text

NOTHING = "the method is made of no embeddings and no codes: there is nothing to export"


def export(assets: ItemAssets | None, folder: Path) -> list[Path]:
    """Write the embeddings and codes of the items that were asked for; older files of a name are renamed.

    Args:
        assets: of a data set; None of a method that has none.
        folder: is made if it is not there.

    Returns:
        ``<recipe>.parquet`` with the columns ``item`` and ``embedding`` for every table of vectors, and
        ``<recipe>.json`` of the form ``{"key": [12, 200, 7]}`` for every table of codes.

    Raises:
        GenrecError: if nothing was asked for.
    """
    if assets is None:
        raise GenrecError(NOTHING)
    keys, written = assets.keys.alias(KEY), []
    for name, recipe, arrays in assets.asked():
        if isinstance(recipe, EmbeddingAsset):
            table = np.asarray(arrays[EMBEDDINGS], np.float32)
            vectors = pl.Series(VECTOR, table, pl.Array(pl.Float32, table.shape[1]))
            path = folder / f"{name}.parquet"
            write_new(path, pl.DataFrame([keys, vectors]).write_parquet)
        elif isinstance(recipe, Derived) and isinstance(recipe.recipe, ItemCodes):
            path, codes = folder / f"{name}.json", arrays["codes"].tolist()
            write_text(set_aside(path), json.dumps(dict(zip(keys, codes, strict=True))) + "\n")
        else:
            continue
        written.append(path)
    if not written:
        raise GenrecError(NOTHING)
    return written

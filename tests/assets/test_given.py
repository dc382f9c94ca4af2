"""Vectors and codes that were made elsewhere: found by their keys, refused in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import save_file

from genrec.assets import Assets, FileCodes, FileEmbeddings
from genrec.data import Dataset
from genrec.errors import GenrecError
from genrec.testing import TinyModel, tiny_backbone
from genrec_baselines import LETTER, TIGER

VECTORS = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32)
CODES = np.random.default_rng(1).integers(4, size=(12, 3))
MIXED = np.random.default_rng(2).permutation(12)


def write(folder: Path, keys: list[str], table: np.ndarray, kind: str) -> dict[str, str]:
    """A file of vectors or codes, and what names its rows where it does not itself."""
    path, whole = folder / f"table.{kind}", table.dtype.kind == "i"
    if kind == "parquet":
        column = "codes" if whole else "embedding"
        pl.DataFrame({"item": keys, column: table.tolist()}).write_parquet(path)
        return {"path": str(path)}
    if kind == "json":
        path.write_text(json.dumps(dict(zip(keys, table.tolist(), strict=True))))
        return {"path": str(path)}
    if kind == "npy":
        np.save(path, table)
    elif kind == "pt":
        torch.save(torch.from_numpy(table).T, path)  # as GRID's
    else:
        save_file({"anything": table}, path)
    names = folder / "keys.txt"
    names.write_text("\n".join(keys), encoding="utf-8-sig")  # with a byte-order mark, as an editor may write it
    return {"path": str(path), "keys": str(names)}


@pytest.mark.parametrize("kind", ["parquet", "npy", "safetensors"])
def test_vectors_are_those_of_the_keys(
    kind: str, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [*(dataset.catalog.keys[row] for row in MIXED), "other"]
    table = np.concatenate([VECTORS[MIXED], np.ones((1, 3), np.float32)])
    recipe = FileEmbeddings(**write(tmp_path, keys, table, kind))
    assets = Assets(text=recipe, cf=recipe, root=str(tmp_path), sources={"image": recipe}).bind(dataset)

    for found in (assets.text, assets.cf, assets.source("image")):
        np.testing.assert_array_equal(found.numpy(), VECTORS)
    assert "1 of 13 vectors are of no item of twelve" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["parquet", "json", "npy", "pt"])
def test_codes_are_those_of_the_keys(kind: str, dataset: Dataset, tmp_path: Path) -> None:
    keys = [dataset.catalog.keys[row] for row in MIXED]
    recipe = FileCodes(**write(tmp_path, keys, CODES[MIXED], kind))

    assert (recipe.length, recipe.size) == (3, 4)
    np.testing.assert_array_equal(Assets(root=str(tmp_path)).bind(dataset).codes(recipe).numpy(), CODES)


def test_tokens_of_letter_and_minionerec_are_read(dataset: Dataset, tmp_path: Path) -> None:
    codes = np.stack([np.arange(12) // 4, np.arange(12) % 4], 1)
    path = tmp_path / "index.json"
    path.write_text(json.dumps({f"key{row}": [f"<a_{a}>", f"<b_{b}>"] for row, (a, b) in enumerate(codes)}))
    recipe = FileCodes(str(path))
    assets = Assets(root=str(tmp_path)).bind(dataset)
    np.testing.assert_array_equal(assets.codes(recipe).numpy(), codes)

    assert recipe.unique
    letter, tiger = LETTER(recipe), TIGER(recipe)
    for identifier in (letter, tiger):
        TinyModel(identifier, tiny_backbone("t5"), dataset, assets)
    assert letter.names.show(5) == "<a_1><b_1>"
    assert tiger.names.show(5) == "<a_1><b_1><c_0>"


def test_items_without_a_vector_are_refused_or_get_the_mean(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = write(tmp_path, list(dataset.catalog.keys[:9]), VECTORS[:9], "parquet")
    with pytest.raises(GenrecError, match=r"has no vector of 3 of 12 items, such as `key9`: give them, or `missing: m"):
        Assets(text=FileEmbeddings(**given), root=str(tmp_path)).bind(dataset).text  # noqa: B018
    assets = Assets(text=FileEmbeddings(**given, missing="mean"), root=str(tmp_path)).bind(dataset)
    expected = np.concatenate([VECTORS[:9], np.tile(VECTORS[:9].mean(0), (3, 1))])
    np.testing.assert_allclose(assets.text.numpy(), expected, atol=1e-6)
    assert "3 of 12 items have no vector, and get the mean of the others" in capsys.readouterr().out


def test_added_items_are_looked_up_too(dataset: Dataset, tmp_path: Path) -> None:
    keys = [*dataset.catalog.keys, "new"]
    recipe = FileEmbeddings(**write(tmp_path, keys, np.concatenate([VECTORS, VECTORS[:1] + 1]), "parquet"))
    assets = Assets(text=recipe, root=str(tmp_path)).bind(dataset)
    more = dataset.catalog.extend(pl.DataFrame({"item": ["new"]}))
    np.testing.assert_array_equal(assets.extend(more).text.numpy()[12], VECTORS[0] + 1)
    other = dataset.catalog.extend(pl.DataFrame({"item": ["newer"]}))
    with pytest.raises(GenrecError, match="no vector of 1 of 13 items, such as `newer`"):
        assets.extend(other).text  # noqa: B018


def test_a_changed_file_is_another_asset_and_a_moved_one_is_not(dataset: Dataset, tmp_path: Path) -> None:
    keys = list(dataset.catalog.keys)
    (tmp_path / "two").mkdir()
    one, moved = (FileEmbeddings(**write(folder, keys, VECTORS, "npy")) for folder in (tmp_path, tmp_path / "two"))
    before = one.fingerprint(dataset)
    assert moved.fingerprint(dataset) == before
    write(tmp_path, keys, VECTORS + 1, "npy")
    assert one.fingerprint(dataset) != before


def test_texts_of_the_identifiers_own_need_an_encoder(dataset: Dataset, tmp_path: Path) -> None:
    recipe = FileEmbeddings(**write(tmp_path, list(dataset.catalog.keys), VECTORS, "npy"))
    with pytest.raises(GenrecError, match="texts of the identifier's own cannot be encoded"):
        Assets(text=recipe, root=str(tmp_path)).bind(dataset).encode(["a text"])


def broken(folder: Path) -> dict[str, tuple[Any, str]]:
    """Recipes that cannot work, and what is said of each."""
    keys = [f"key{row}" for row in range(12)]
    table = str(folder / "t.npy")
    np.save(table, np.concatenate([VECTORS, VECTORS[:1]]))
    (folder / "keys.txt").write_text("\n".join(keys))
    (folder / "twice.json").write_text(json.dumps([*keys, "key3"]))
    (folder / "text.json").write_text("{")
    (folder / "index.json").write_text(json.dumps({key: [1, 2] for key in keys[:5]} | {"key5": [1]}))
    (folder / "nonsense.json").write_text(json.dumps({"key0": ["<a_1>", "b2"]}))
    (folder / "few.json").write_text(json.dumps({"key0": [1, 2]}))
    (folder / "minus.json").write_text(json.dumps({"key0": [-1]}))
    (folder / "many.json").write_text(json.dumps({"key0": [2**40]}))
    (folder / "bad.npy").write_bytes(b"not an array")
    np.save(folder / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(folder / "nan.npy", np.where(np.arange(36).reshape(12, 3) == 7, np.nan, VECTORS))
    save_file({"a": VECTORS, "b": VECTORS}, folder / "two.safetensors")
    pl.DataFrame({"item": keys, "vector": VECTORS.tolist()}).write_parquet(folder / "other.parquet")
    pl.DataFrame({"item": keys[:2], "embedding": [[1.0], [1.0, 2.0]]}).write_parquet(folder / "ragged.parquet")
    named = str(folder / "keys.txt")
    return {
        "padding": (
            FileEmbeddings(table, named),
            "13 rows and `.*keys.txt` 12 items: 1 too many, as of a trained table",
        ),
        "no keys": (FileEmbeddings(table), "does not say whose its 13 rows are"),
        "twice": (FileEmbeddings(table, str(folder / "twice.json")), "has the item `key3` twice"),
        "absent": (FileEmbeddings(str(folder / "no.npy")), "there is no file"),
        "no array": (FileEmbeddings(str(folder / "bad.npy"), named), "cannot read"),
        "objects": (FileEmbeddings(str(folder / "objects.npy"), named), "cannot read"),
        "nan": (FileEmbeddings(str(folder / "nan.npy"), named), "the vector of `key2` has NaN"),
        "two tensors": (FileEmbeddings(str(folder / "two.safetensors"), named), "2 tensors: call the one"),
        "column": (FileEmbeddings(str(folder / "other.parquet")), "no column `embedding`; it has item, vector"),
        "ragged": (FileEmbeddings(str(folder / "ragged.parquet")), "lists of numbers, all of one length"),
        "kind": (FileEmbeddings(named), "vectors come as .parquet, .npy or .safetensors"),
        "json": (FileCodes(str(folder / "text.json")), "cannot read"),
        "lengths": (FileCodes(str(folder / "index.json")), r"codes of `key5` are \[1\], not 2 numbers"),
        "tokens": (FileCodes(str(folder / "nonsense.json")), "not a list of numbers, or tokens such as <a_12>"),
        "lacking": (FileCodes(str(folder / "few.json")), "no codes of 11 of 12 items, such as `key1`"),
        "below 0": (FileCodes(str(folder / "minus.json")), "whole numbers from 0 on"),
        "too many": (FileCodes(str(folder / "many.json")), "1,048,576 codes in all at most"),
        "code keys": (FileCodes(table), "does not say whose its codes are"),
        "floats": (FileCodes(str(folder / "nan.npy"), named), "whole numbers"),
    }


def test_what_is_wrong_is_said_in_a_line(dataset: Dataset, tmp_path: Path) -> None:
    for case, (recipe, expected) in broken(tmp_path).items():
        sources = {} if isinstance(recipe, FileCodes) else {"given": recipe}
        assets = Assets(root=str(tmp_path / "assets"), sources=sources).bind(dataset)
        with pytest.raises(GenrecError) as caught:
            assets.source("given") if sources else assets.codes(recipe)
        assert re.search(expected, str(caught.value)), f"{case}: {caught.value}"
        assert "\n" not in str(caught.value)


def test_codes_of_added_items_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    recipe = FileCodes(**write(tmp_path, list(dataset.catalog.keys), CODES, "json"))
    assets = Assets(root=str(tmp_path)).bind(dataset)
    more = dataset.catalog.extend(pl.DataFrame({"item": ["new"]}))
    with pytest.raises(GenrecError, match="items that are added later cannot be made from"):
        assets.extend(more).codes(recipe)

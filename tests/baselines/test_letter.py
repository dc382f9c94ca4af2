"""LETTER: identifiers, and the temperature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import torch

from genrec.assets import Assets, LETTERCodes, ReleasedCF, RQKMeansCodes, TfidfText
from genrec.assets.codes.fitting import Training
from genrec.data import Dataset
from genrec.testing import tiny_backbone
from genrec_baselines import LETTER, TIGER

QUICK = LETTERCodes(levels=4, size=20, training=Training(steps=20, batch_size=16))


def test_every_item_has_four_codes_of_its_own(dataset: Dataset, tmp_path: Path) -> None:
    assets = Assets(text=TfidfText(dim=8), cf=ReleasedCF(), root=str(tmp_path)).bind(dataset)
    letter = LETTER(QUICK)
    letter.setup(dataset.catalog, assets, tiny_backbone("t5"))
    codes = letter.names.codes.numpy() - letter.names.words
    assert codes.shape == (12, 4)
    assert len(np.unique(codes, axis=0)) == 12
    assert (codes // 20 == np.arange(4)).all()
    assert len(letter.names.tokens) == 4 * 20
    found, sizes = letter.item_codes()
    assert found.tolist() == assets.codes(QUICK).tolist()
    assert sizes == [20] * 4


def test_items_that_are_added_keep_the_others_as_they_are(dataset: Dataset, tmp_path: Path) -> None:
    assets = Assets(text=TfidfText(dim=8), cf=ReleasedCF(), root=str(tmp_path)).bind(dataset)
    letter = LETTER(QUICK)
    letter.setup(dataset.catalog, assets, tiny_backbone("t5"))
    before = letter.names.codes.clone()
    twins = pl.DataFrame({"item": ["new", "twin"], "title": ["red train number 0"] * 2})
    more = dataset.catalog.extend(twins)
    letter.index(more, assets.extend(more))
    assert torch.equal(letter.names.codes[:12], before)
    assert len(letter.names.codes.unique(dim=0)) == 14


def test_the_temperature_is_that_of_training() -> None:
    assert LETTER(QUICK, temperature=0.6).temperature == 0.6


def test_codes_of_any_recipe_get_a_number_where_they_may_be_shared(dataset: Dataset, tmp_path: Path) -> None:
    assets = Assets(text=TfidfText(dim=8), cf=ReleasedCF(), root=str(tmp_path)).bind(dataset)
    shared = RQKMeansCodes(levels=2, size=2, seed=0)
    for identifier in (LETTER(shared), TIGER(shared)):
        identifier.setup(dataset.catalog, assets, tiny_backbone("t5"))
        found, sizes = identifier.item_codes()
        assert sizes == [2, 2, 256]
        assert (found[:, :2] == assets.codes(shared)).all()
        assert len(found.unique(dim=0)) == 12
        assert len(identifier.names.tokens) == 4 + 256

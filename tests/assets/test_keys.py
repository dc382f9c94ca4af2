"""Two recipes have one key only if they are the same, in every process and whatever the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from genrec.assets import Asset, AssetStore, Frequency, ReleasedCF, RQVAECodes, TfidfText, Training
from genrec.assets.derived import Derived, Encoded
from genrec.assets.keys import key_of
from genrec.data import Dataset
from genrec.identifiers.base import ItemIdentifier
from genrec.recommenders import SASRecCF


class Plain(Asset):
    """A recipe as others may write it: no dataclass."""

    name = "plain"  # type: ignore[assignment]

    def __init__(self, **parameters: object) -> None:
        vars(self).update(parameters)

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        return {}

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        return {}


class Other(Plain):
    """Another one of that name."""


STORE, ELSEWHERE = AssetStore("here"), AssetStore("elsewhere", seed=3)
TEXT = TfidfText(dim=8, seed=0)
SMALL = RQVAECodes(levels=2, size=4, training=Training(seed=0))
CODES = Derived(SMALL, {"text": TEXT}, STORE)
RECIPES: list[Asset] = [
    TEXT,
    replace(TEXT, seed=1),
    replace(TEXT, dim=9),
    ReleasedCF(),
    ReleasedCF(cold="mean"),
    ReleasedCF(otherwise=SASRecCF(dim=8)),
    ReleasedCF(otherwise=SASRecCF(dim=9)),
    Frequency(),
    CODES,
    replace(CODES, recipe=replace(SMALL, size=5)),
    replace(CODES, recipe=replace(SMALL, training=Training(steps=1, seed=0))),
    replace(CODES, embeddings={"text": replace(TEXT, dim=9)}),
    Encoded(TEXT, ("a", "b"), STORE),
    Encoded(TEXT, ("ab",), STORE),
    *(cls(**parameters) for cls in (Plain, Other) for parameters in ({}, {"width": 1}, {"width": 2})),
    Plain(table=np.arange(3)),
    Plain(table=np.arange(4)),
    Plain(kinds={"x", "y"}),
    Plain(of=ItemIdentifier),
    Plain(of=key_of),
]


def test_whatever_differs_is_another_recipe() -> None:
    assert len({key_of(recipe) for recipe in RECIPES}) == len(RECIPES)


def test_what_does_not_count() -> None:
    assert key_of(replace(CODES, store=ELSEWHERE)) == key_of(CODES)
    assert key_of(Plain(width=1.0, _cache=object())) == key_of(Plain(width=1))


def test_it_is_the_same_in_every_process() -> None:
    everything = Plain(
        kinds={"x", "y", "z"}, table=np.arange(3), of=key_of, where=Path("a"), parts=[Plain(), {1: None}]
    )
    assert key_of(everything) == "plain-325a24bae7b5f57d"

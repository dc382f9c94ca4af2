"""What a constructor takes is known by its types, wherever they are named."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import genrec_baselines  # noqa: F401
from genrec.assets import Asset, FromEmbeddings
from genrec.backbones import Backbone
from genrec.config.signatures import all_subclasses, type_hints
from genrec.data import Source
from genrec.identifiers import ItemIdentifier
from genrec.recommenders import RankingModule

ABOVE: list[Any] = [Asset, FromEmbeddings, Backbone, Source, ItemIdentifier, RankingModule]
CLASSES = {cls for above in ABOVE for cls in all_subclasses(above) if cls.__module__.startswith("genrec")}


@pytest.mark.parametrize("cls", sorted(CLASSES, key=lambda cls: f"{cls.__module__}.{cls.__qualname__}"))
def test_every_argument_has_a_type(cls: type) -> None:
    taken = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    named = {each.name for each in taken if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)} - {"self"}
    assert named <= set(type_hints(cls))

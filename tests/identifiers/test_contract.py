"""The contract of an identifier, on every concrete one that can be found; and what breaks it is found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import entry_points
from inspect import isabstract

import pytest

from genrec.assets import LETTERCodes, PQCodes, RQVAECodes, Training
from genrec.identifiers import ItemIdentifier
from genrec.testing.contract import IdentifierContract
from genrec.testing.contract.setting import Factory
from genrec_baselines import LETTER, RPG, TIGER, CodeSet, DiffGRM, DreamRec, LCRec
from genrec_baselines.diffusion import Diffusion


def concrete(base: type[ItemIdentifier]) -> Iterator[type[ItemIdentifier]]:
    for subclass in base.__subclasses__():
        if not isabstract(subclass):
            yield subclass
        yield from concrete(subclass)


for entry in entry_points(group="genrec.identifiers"):
    entry.load()
IDENTIFIERS = [cls for cls in concrete(ItemIdentifier) if cls.__module__.startswith("genrec")]

QUICK = Training(steps=20, evaluate_every=10, seed=0)
SMALL = PQCodes(digits=2, size=4, seed=0)
FACTORIES: dict[type[ItemIdentifier], Factory] = {
    CodeSet: lambda: CodeSet(SMALL, replace(SMALL, source="cf", fit_items="warm"), residual=True),
    DiffGRM: lambda: DiffGRM(replace(SMALL, digits=3)),
    DreamRec: lambda: DreamRec(diffusion=Diffusion(steps=20)),
    LCRec: lambda: LCRec(RQVAECodes(levels=4, epsilon=0.003, training=QUICK)),
    LETTER: lambda: LETTER(LETTERCodes(training=QUICK)),
    RPG: lambda: RPG(SMALL),
    TIGER: lambda: TIGER(RQVAECodes(training=QUICK)),
}
"""A diffusion of a few steps, and quantisers that learn for a few; all others are made without arguments."""


def test_there_are_identifiers() -> None:
    assert len(IDENTIFIERS) >= 9


class TestEveryIdentifier(IdentifierContract):
    @pytest.fixture(params=IDENTIFIERS, ids=lambda cls: cls.__name__)
    def factory(self, request: pytest.FixtureRequest) -> Factory:
        return FACTORIES.get(request.param, request.param)

"""What the tests of the contract are given: an identifier that was set up on tiny data and a tiny language model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from genrec.assets import ItemAssets
from genrec.data import Dataset
from genrec.identifiers import ItemIdentifier
from genrec.testing.tiny import TinyModel, tiny_assets, tiny_backbone, tiny_dataset

Factory = Callable[[], ItemIdentifier]


class ContractSetting:
    """The fixtures of the contract."""

    def make(self) -> ItemIdentifier:
        """A new identifier, with arguments that suit twelve items."""
        raise NotImplementedError("give the test class a method `make` that returns a new identifier")

    @pytest.fixture
    def factory(self) -> Factory:
        """What makes an identifier; a class that tests many of them overrides it."""
        return self.make

    @pytest.fixture(params=["t5", "causal"])
    def kind(self, request: pytest.FixtureRequest) -> str:
        """The kinds of language models, see `tiny_backbone`."""
        return str(request.param)

    @pytest.fixture
    def dataset(self) -> Dataset:
        """The items."""
        return tiny_dataset()

    @pytest.fixture
    def store(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """One folder of assets for all tests of a run: codes may take seconds to learn."""
        return tmp_path_factory.getbasetemp() / "contract"

    @pytest.fixture
    def assets(self, dataset: Dataset, store: Path) -> ItemAssets:
        """The embeddings that the identifier sees."""
        return tiny_assets(dataset, store)

    @pytest.fixture
    def model(self, factory: Factory, kind: str, dataset: Dataset, assets: ItemAssets) -> TinyModel:
        """An identifier in training mode on a language model in evaluation mode."""
        return TinyModel(factory(), tiny_backbone(kind), dataset, assets)


def disturb(model: TinyModel) -> None:
    """Move the identifier's parameters, as a training does, and refill its tables."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.identifier.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.identifier.index(model.catalog, model.assets)


def without_chance(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is drawn at random be the same for every target: it belongs to none of them."""
    for name, value in (("rand", 0.5), ("randn", 1.0)):
        monkeypatch.setattr(torch, name, lambda *size, value=value, **options: torch.full(_sizes(size), value))
        monkeypatch.setattr(torch, f"{name}_like", lambda x, value=value, **options: torch.full_like(x, value))
    monkeypatch.setattr(torch, "randint", _middle)
    for part in module.modules():
        if isinstance(part, _DropoutNd):
            part.eval()


def _sizes(size: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(size[0]) if size and isinstance(size[0], tuple | list) else size


def _middle(*arguments: Any, **options: Any) -> torch.Tensor:
    """In the place of ``torch.randint([low,] high, size)``."""
    *bounds, size = (*arguments, options["size"]) if "size" in options else arguments
    low, high = bounds if len(bounds) == 2 else (0, *bounds)
    return torch.full(tuple(size), (low + high) // 2)

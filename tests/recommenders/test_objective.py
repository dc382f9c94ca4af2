"""A target weighs as much as every other one, whatever it shares batches, steps and processes with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from genrec.assets import ItemAssets
from genrec.backbones import CausalBackbone
from genrec.data import Catalog, Dataset, InMemory, Ragged, SequenceData
from genrec.identifiers import ItemIdentifier
from genrec.recommenders.recommender import Recommender
from genrec.testing import quiet_trainer
from genrec.types import Ranking, Tokens

LENGTHS = (2, 7, 30)
USERS = (4000, 800, 150)
"""How many users have taken so many items; each length has one item of its own, taken again and again."""


class Scales(ItemIdentifier):
    """The loss of a target is the parameter of its item: its gradient is the weight that the target has."""

    def setup(self, catalog: Catalog, assets: ItemAssets, backbone: Any) -> None:
        self.scales = nn.Parameter(torch.zeros(len(catalog)))

    def index(self, catalog: Catalog, assets: ItemAssets) -> None:
        pass

    def embed(self, items: Tensor) -> Tokens:
        return Tokens.ordered(items[..., None].float())

    def loss(self, backbone: Any, context: Any, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"loss": self.scales[target].mean()}

    def rank(self, backbone: Any, memory: Any, k: int, allowed: Tensor) -> Ranking:
        raise NotImplementedError


class Silent(Recommender):
    """Neither reads prompts nor logs."""

    def _losses(self, batch: Any) -> dict[str, Tensor]:
        return self.identifier.loss(None, None, batch.history, batch.target)  # type: ignore[arg-type]

    def log(self, *args: Any, **options: Any) -> None:
        pass


@pytest.fixture(scope="module")
def lengths() -> Dataset:
    lists = Ragged.from_lists([[row] * length for row, length in enumerate(LENGTHS) for _ in range(USERS[row])])
    once = Ragged.from_lists([[0]] * sum(USERS))
    catalog = Catalog(pl.DataFrame({"item": list("abc")}))
    return Dataset("lengths", catalog, [str(user) for user in range(sum(USERS))], lists, once, once)


def made(dataset: Dataset, samples: Any, batch_size: int) -> tuple[Silent, SequenceData]:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
    module = Silent(Scales(), CausalBackbone(sizes={**sizes, "intermediate_size": 8}), ks=(1,))
    module.prompt.packed = lambda *parts: None  # type: ignore[method-assign]
    module.configure_optimizers = lambda: torch.optim.SGD(module.parameters(), 1.0)  # type: ignore[method-assign]
    return module, SequenceData(InMemory(dataset), batch_size=batch_size, samples=samples)


def relative(of_items: Tensor) -> list[float]:
    """The weight of one target of each length, over the average target's."""
    targets = np.array(LENGTHS) * np.array(USERS)
    weights = of_items.numpy() / targets
    return list(weights / (of_items.sum().item() / targets.sum()))


@pytest.mark.parametrize(("samples", "batch_size"), [("windows", 60), ("prefixes", 200)])
@pytest.mark.parametrize(("accumulation", "world"), [(1, 1), (3, 1), (1, 2), (3, 2)])
def test_a_target_weighs_the_same_in_a_short_and_in_a_long_history(
    lengths: Dataset, samples: str, batch_size: int, accumulation: int, world: int
) -> None:
    module, data = made(lengths, samples, batch_size)
    trainer = SimpleNamespace(accumulate_grad_batches=accumulation, world_size=world, global_rank=0)
    module.identifier.setup(lengths.catalog, None, None)  # type: ignore[arg-type]
    module._trainer = data.trainer = trainer  # type: ignore[assignment]
    steps = 0
    for trainer.global_rank in range(world):
        batches = list(data.train_dataloader())
        steps = len(batches) / accumulation
        for batch in batches:
            # As Lightning does: a loss is divided by the batches of a step, and the mean of the processes is taken.
            (module.training_step(batch, 0) / accumulation / world).backward()
    gradient = module.identifier.scales.grad
    assert isinstance(gradient, Tensor)
    assert relative(gradient) == pytest.approx([1, 1, 1], abs=0.01)
    assert gradient.sum().item() == pytest.approx(steps, rel=1e-5), "a step's weights add up to 1"


@pytest.mark.parametrize("samples", ["windows", "prefixes"])
def test_lightning_gives_the_same_weights(lengths: Dataset, tmp_path: Path, samples: str) -> None:
    module, data = made(lengths, samples, 60 if samples == "windows" else 200)
    trainer = quiet_trainer(max_epochs=1, accumulate_grad_batches=3, limit_val_batches=0, default_root_dir=tmp_path)
    trainer.fit(module, data)
    moved = -module.identifier.scales.detach()
    assert relative(moved) == pytest.approx([1, 1, 1], abs=0.01)
    assert moved.sum().item() == pytest.approx(trainer.global_step, rel=1e-5)

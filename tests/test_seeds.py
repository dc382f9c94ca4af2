"""Seeds that a recipe leaves open are the run's, wherever they stand; a key fixes one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from genrec.assets import Asset, Assets, AssetStore, CooccurrenceClusters, ReleasedCF, RQVAECodes, TfidfText, Training
from genrec.assets.derived import Derived
from genrec.data import Dataset
from genrec.errors import GenrecError
from genrec.recommenders import SASRecCF
from genrec.seeds import with_seed

QUICK = RQVAECodes(levels=2, size=8, dim=4, training=Training(steps=20, batch_size=8, evaluate_every=10))
CF = SASRecCF(dim=8, max_epochs=1)


def test_every_open_seed_is_closed_and_no_other(tmp_path: Path) -> None:
    assert with_seed(TfidfText(), 5) == TfidfText(seed=5)
    assert with_seed(TfidfText(seed=0), 5) == TfidfText(seed=0)
    assert with_seed(ReleasedCF(otherwise=CF), 5) == ReleasedCF(otherwise=SASRecCF(dim=8, max_epochs=1, seed=5))
    derived = with_seed(Derived(QUICK, {"text": TfidfText()}, AssetStore(tmp_path)), 5)
    assert derived.embeddings == {"text": TfidfText(seed=5)}
    assert isinstance(derived.recipe, RQVAECodes)
    assert derived.recipe.training.seed == 5
    assert with_seed(ReleasedCF(), 5) == ReleasedCF()
    table = {"no": "recipe"}
    assert with_seed(table, 5) is table


@dataclass(frozen=True)
class Drawn(Asset):
    """A recipe as others may write it."""

    training: Training = field(default_factory=Training)

    @property
    def name(self) -> str:
        return "drawn"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        return {"seed": self.training.seed}

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        return {"seed": np.array(self.training.seed)}


def test_a_store_gives_its_seed_to_what_it_builds(dataset: Dataset, tmp_path: Path) -> None:
    store, other = AssetStore(tmp_path, seed=7), AssetStore(tmp_path, seed=8)
    assert store.get(Drawn(), dataset)["seed"] == 7
    assert store.has(Drawn(), dataset)
    assert not other.has(Drawn(), dataset)
    assert store.has(Drawn(Training(seed=7)), dataset)
    assert list(store.asked.values()) == [Drawn(Training(seed=7))]
    assert other.get(Drawn(Training(seed=7)), dataset)["seed"] == 7


@pytest.mark.parametrize("recipe", [TfidfText(), CF, CooccurrenceClusters(branching=2, leaf=4)])
def test_nothing_is_built_with_an_open_seed(recipe: Asset, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match=r"without a `seed`"):
        recipe.build(dataset, tmp_path)


@pytest.mark.parametrize("fixed", [False, True])
def test_two_seeds_are_two_assets_unless_a_key_fixes_one(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fixed: bool
) -> None:
    found = []
    for seed in (1, 2):
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        items = Assets(TfidfText(dim=6), CF, str(tmp_path), seed=1 if fixed else None).bind(dataset)
        found.append((items.text, items.cf, items.codes(QUICK)))
    for name, first, second in zip(("text-tfidf", "cf-sasrec", "codes-rqvae"), *found, strict=True):
        built = [json.loads(path.read_text())["fingerprint"] for path in tmp_path.glob(f"{name}-*/manifest.json")]
        seeds = sorted(print_.get("training", print_)["seed"] for print_ in built)
        assert seeds == ([1] if fixed else [1, 2]), name
        assert torch.equal(first, second) == fixed or name == "text-tfidf", name

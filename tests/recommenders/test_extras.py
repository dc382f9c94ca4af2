"""What batches hold beside items, from the data module to an identifier that asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genrec.assets import ItemAssets
from genrec.backbones import Backbone, Context, Memory
from genrec.data import Catalog, Dataset, Extra, InMemory, SequenceData
from genrec.decoding import inner_products, top_k
from genrec.errors import GenrecError
from genrec.identifiers import ItemIdentifier
from genrec.recommenders import Recommender
from genrec.recommenders.alone import set_up
from genrec.runs.building import build
from genrec.runs.trusted import checked
from genrec.testing import quiet_trainer, tiny_backbone
from genrec.types import PAD, Batch, Ranking, Tokens


class Times(Extra):
    """When items were taken: on the day of their place, ten days later for every user."""

    per_item = True

    def __call__(self, dataset: Dataset, users: np.ndarray, places: np.ndarray) -> np.ndarray:
        return (1 + places + 10 * users[:, None]).astype(np.float32)


class Domains(Extra):
    """Two numbers of every user."""

    def __call__(self, dataset: Dataset, users: np.ndarray, places: np.ndarray) -> np.ndarray:
        return np.stack([users % 3, users % 2], 1)


class Timed(ItemIdentifier):
    """An item is one token: its vector, moved by who took it, and when, and where."""

    def setup(self, catalog: Catalog, assets: ItemAssets, backbone: Backbone) -> None:
        self.items = nn.Embedding(len(catalog), backbone.width)
        self.users = nn.Embedding(8, backbone.width)
        self.when = nn.Linear(1, backbone.width, bias=False)
        self.where = nn.Linear(2, backbone.width, bias=False)
        self.query = nn.Parameter(torch.zeros(1, 1, backbone.width))

    def index(self, catalog: Catalog, assets: ItemAssets) -> None:
        """Nothing is kept."""

    def embed(self, items: Tensor) -> Tokens:
        real = items != PAD
        who = self.users(self.extra("user")) + self.where(self.extra("domain").float())
        tokens = self.items(items.clamp(min=0)) + self.when(self.extra("time")[..., None]) + who[:, None]
        return Tokens(tokens * real[..., None], real, torch.full_like(items, -1))

    def loss(self, backbone: Backbone, context: Context, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        assert self.extra("time").shape == history.shape
        assert ((self.extra("time") > 0) == (history != PAD)).all()
        assert len(self.extra("user")) == len(self.extra("domain")) == len(target)
        # The last item of a history was taken on the day of its place: a cut at the wrong column tells another.
        days = self.extra("time").amax(1) - 10 * self.extra("user")
        assert (days == (history != PAD).sum(1))[(history != PAD).any(1)].all()
        states = backbone(context, Tokens.ordered(self.query))[:, 0]
        return {"loss": nn.functional.cross_entropy(states @ self.items.weight.T, target)}

    def rank(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor) -> Ranking:
        states = backbone.write(memory, Tokens.ordered(self.query))[:, 0]
        return top_k(inner_products(states, self.items.weight), allowed, k)


def data_of(dataset: Dataset, samples: str = "prefixes", **options: object) -> SequenceData:
    extras = {"time": Times(), "domain": Domains()}
    return SequenceData(InMemory(dataset), samples=samples, batch_size=64, extras=extras, **options)  # type: ignore[arg-type]


def model_of(kind: str, data: SequenceData) -> Recommender:
    model = Recommender(Timed(), tiny_backbone(kind), ks=(1, 2), warmup_steps=0)
    torch.manual_seed(0)
    set_up(model, data)
    return model


def whole(data: SequenceData) -> Batch:
    (batch,) = data.train_dataloader()
    return batch


@pytest.mark.parametrize("loader", ["train", "val", "test", "predict"])
@pytest.mark.parametrize("workers", [0, 1])
def test_extras_are_those_of_the_items_of_the_histories(dataset: Dataset, loader: str, workers: int) -> None:
    data = data_of(dataset, num_workers=workers)
    known = {"val": 4, "test": 5, "predict": 6}
    for batch in getattr(data, f"{loader}_dataloader")():
        for row, user in enumerate(batch.users.tolist()):
            taken = int((batch.history[row] != PAD).sum())
            last = taken if loader == "train" else known[loader]
            padding = batch.history.shape[1] - taken
            days = [0] * padding + [10 * user + day for day in range(last - taken + 1, last + 1)]
            assert batch.extras.items["time"][row].tolist() == days
            assert batch.extras.users["domain"][row].tolist() == [user % 3, user % 2]


def test_packed_prefixes_have_the_extras_of_prefixes(dataset: Dataset) -> None:
    data = data_of(dataset)
    model = model_of("causal", data)
    model.eval()
    one_by_one, packed = whole(data), whole(data_of(dataset, "windows"))
    assert packed.prefixes is not None
    assert one_by_one.examples == packed.examples == 32
    with model.holding(one_by_one):
        expected = model._losses(one_by_one)["loss"]
    with model.holding(packed):
        found = model._packed_losses(packed, packed.prefixes)["loss"]
    torch.testing.assert_close(found, expected)
    later = packed._replace(extras=packed.extras._replace(items={"time": packed.extras.items["time"] * 2}))
    with model.holding(later), pytest.raises(AssertionError):
        model._packed_losses(later, packed.prefixes)


@pytest.mark.parametrize(("kind", "samples"), [("t5", "prefixes"), ("causal", "prefixes"), ("causal", "windows")])
def test_an_identifier_of_users_and_times_is_trained_and_tested(dataset: Dataset, kind: str, samples: str) -> None:
    data = data_of(dataset, samples)
    model = Recommender(Timed(), tiny_backbone(kind), ks=(1, 2), warmup_steps=0)
    trainer = quiet_trainer(max_epochs=2)
    trainer.fit(model, data)
    trainer.test(model, data, verbose=False)
    assert model.results["all"]["users"] == 8
    assert len(trainer.predict(model, data) or []) == 1
    assert not model.identifier.extras.users, "nothing of a batch is left behind it"
    with pytest.raises(GenrecError, match=r"there is no `user` with these histories: name it in `data.extras`"):
        model.rank(torch.tensor([[1]]), 1, torch.ones(1, 12, dtype=torch.bool))


def test_a_config_names_extras_of_modules_that_are_known() -> None:
    source = {"class_path": "genrec.data.Synthetic", "init_args": {"users": 40, "items": 40}}
    config: dict[str, Any] = {
        "model": {"class_path": "genrec.recommenders.Popularity"},
        "data": {"source": source, "extras": {"time": {"class_path": f"{Times.__module__}.Times"}}},
        "assets": {},
    }
    data = build(checked(config, Path("config.yaml"))).data
    assert isinstance(data.extras["time"], Times)
    (batch, *_) = data.val_dataloader()
    assert batch.extras.items["time"].shape == batch.history.shape
    config["data"]["extras"]["time"]["class_path"] = "os.path.join"
    with pytest.raises(GenrecError, match=r"`data.extras.time` names `os.path.join`, which is no Extra"):
        checked(config, Path("config.yaml"))


class Wrong(Extra):
    """Not as many as there are users."""

    def __call__(self, dataset: Dataset, users: np.ndarray, places: np.ndarray) -> np.ndarray:
        return np.zeros(3, dtype=np.int16)


def test_what_is_no_extra_is_refused(dataset: Dataset) -> None:
    with pytest.raises(GenrecError, match=r"`data.extras.wrong` gave int16 \[3\]: it returns an array of numbers \[32"):
        whole(SequenceData(InMemory(dataset), batch_size=64, extras={"wrong": Wrong()}))
    with pytest.raises(GenrecError, match=r"`data.extras.user` is there anyway"):
        whole(SequenceData(InMemory(dataset), extras={"user": Domains()}))

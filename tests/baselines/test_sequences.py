"""What all recommenders have in common that know items by learned vectors alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from genrec.data import Catalog, Dataset, InMemory, Ragged, SequenceData
from genrec.errors import GenrecError
from genrec.losses import Negatives
from genrec.recommenders import SASRec
from genrec.recommenders.alone import set_up
from genrec.recommenders.sequences import ItemSequences
from genrec.testing import Syncs, quiet_trainer
from genrec.types import PAD, Batch
from genrec_baselines import HSTU, BERT4Rec, GRU4Rec, GSASRec

MODELS = [SASRec, GSASRec, GRU4Rec, BERT4Rec, HSTU]
CAUSAL = [SASRec, GSASRec, GRU4Rec, HSTU]
HISTORY = torch.tensor([[PAD, PAD, 3, 1, 4], [2, 7, 1, 8, 2], [PAD, PAD, PAD, PAD, 5]])
each = pytest.mark.parametrize("cls", MODELS)


@pytest.fixture
def made(dataset: Dataset) -> Callable[..., ItemSequences]:
    """An untrained one of weights that are large enough for every part to be felt."""

    def make(cls: Callable[..., ItemSequences], **options: object) -> ItemSequences:
        torch.manual_seed(0)
        model = cls(dim=8, dropout=0.0, max_history=10, ks=(1,), **options)
        set_up(model, SequenceData(InMemory(dataset), samples="users"))
        for name, parameter in model.named_parameters():
            torch.nn.init.normal_(parameter, float("norm" in name and "weight" in name), 0.5)
        return model

    return make


def batch_of(history: Tensor, target: list[int]) -> Batch:
    users = torch.arange(len(history))
    return Batch(users, history, torch.tensor(target), torch.empty(len(history), 0, dtype=torch.long))


@each
@torch.no_grad()
def test_padding_has_no_influence(cls: type[ItemSequences], made: Callable[..., ItemSequences]) -> None:
    model = made(cls)
    before = model.state(HISTORY)
    torch.testing.assert_close(model.state(torch.nn.functional.pad(HISTORY, (4, 0), value=PAD)), before)
    torch.testing.assert_close(model.state(HISTORY[:1, 2:]), before[:1])
    # Item 0 stands in the table where padding is looked up, and is in no history.
    torch.nn.init.normal_(model._network.items.weight[0], std=100)
    torch.testing.assert_close(model.state(HISTORY), before)


@each
def test_a_history_of_nothing_is_ranked(cls: type[ItemSequences], made: Callable[..., ItemSequences]) -> None:
    model = made(cls)
    ranking = model.rank(torch.full((2, 3), PAD), 12, torch.ones(1, 12, dtype=torch.bool))
    assert torch.isfinite(ranking.scores).all()
    assert ranking.items[0, 0].sort().values.tolist() == list(range(12))


@each
@torch.no_grad()
def test_only_the_last_items_of_a_long_history_are_looked_at(
    cls: type[ItemSequences], made: Callable[..., ItemSequences]
) -> None:
    model, long, everything = made(cls), torch.arange(24)[None] % 12, torch.ones(1, 12, dtype=torch.bool)
    torch.testing.assert_close(model.rank(long, 12, everything), model.rank(long[:, -10:], 12, everything))
    changed = long.clone()
    changed[0, -10] = 3
    assert not torch.allclose(model.state(changed[:, -10:]), model.state(long[:, -10:]))


@pytest.mark.parametrize("cls", CAUSAL)
@torch.no_grad()
def test_a_later_item_changes_no_earlier_state(cls: type[ItemSequences], made: Callable[..., ItemSequences]) -> None:
    network = made(cls)._network
    before = network(HISTORY)
    assert torch.equal(before[HISTORY == PAD], torch.zeros_like(before[HISTORY == PAD]))
    for t in range(5):
        changed = HISTORY.clone()
        changed[1, t] = 11
        after = network(changed)
        torch.testing.assert_close(after[1, :t], before[1, :t])
        assert not torch.allclose(after[1, t:], before[1, t:], atol=1e-3)


@each
def test_users_without_a_position_count_for_nothing(
    cls: type[ItemSequences], made: Callable[..., ItemSequences]
) -> None:
    model = made(cls)
    wider = torch.nn.functional.pad(HISTORY, (3, 0), value=PAD)
    losses = []
    for history in (HISTORY, wider):
        torch.manual_seed(1)
        losses.append(model.loss_of(batch_of(history, [1, 6, 9])))
    if cls in (SASRec, GRU4Rec, HSTU):
        torch.testing.assert_close(*losses)
    losses[1].backward()
    assert all(torch.isfinite(part.grad).all() for part in model.parameters() if part.grad is not None)


@each
def test_a_step_waits_for_nothing(cls: type[ItemSequences], made: Callable[..., ItemSequences]) -> None:
    model, batch = made(cls), batch_of(HISTORY, [1, 6, 9])
    model.loss_of(batch)
    with Syncs() as counted:
        model.loss_of(batch).backward()
    assert not counted.places


@each
def test_data_that_it_cannot_be_trained_with_are_refused(cls: type[ItemSequences], dataset: Dataset) -> None:
    for options in ({"samples": "prefixes"}, {"samples": "users", "max_history": 51}):
        with pytest.raises(GenrecError, match=rf"{cls.__name__} learns from `data.samples: users` .*, 50"):
            quiet_trainer().fit(cls(ks=(1,)), SequenceData(InMemory(dataset), **options))


@each
def test_numbers_that_make_no_sense_are_refused(cls: type[ItemSequences]) -> None:
    own = {SASRec: ["heads 3"], BERT4Rec: ["heads 3", "hidden 0", "last 2"], GSASRec: ["drawn 0", "t 1.5"]}
    for bad in ("dim 0", "dropout -1", "lr -1", "max_history 0", *own.get(cls, [])):
        name, value = bad.split()
        with pytest.raises(GenrecError, match=rf"\b{name}\b") as refused:
            cls(**{name: float(value) if "." in value else int(value)})
        assert cls.__name__ in str(refused.value)


@each
def test_it_does_not_learn_in_numbers_of_16_bits(cls: type[ItemSequences], made: Callable[..., ItemSequences]) -> None:
    with pytest.raises(GenrecError, match=f"{cls.__name__} learns in full"):
        made(cls).to(torch.bfloat16)


@pytest.fixture
def cycle() -> Dataset:
    """Users who go round a to h, each from another start; i is in the catalogue, and nobody takes it."""
    rounds = [[(start + step) % 8 for step in range(10)] for start in range(8)] * 3
    return Dataset(
        "cycle",
        Catalog(pl.DataFrame({"item": list("abcdefghi")})),
        [f"user{user}" for user in range(24)],
        Ragged.from_lists([items[:8] for items in rounds]),
        Ragged.from_lists([items[8:9] for items in rounds]),
        Ragged.from_lists([items[9:] for items in rounds]),
    )


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (GSASRec, {"drawn": 2, "lr": 5e-3}),
        (GRU4Rec, {}),
        (GRU4Rec, {"loss": "bpr_max", "negatives": Negatives("uniform", 8), "depth": 2}),
        (BERT4Rec, {"lr": 3e-3}),
        (HSTU, {"heads": 2}),
        (HSTU, {"negatives": Negatives("popularity", 8)}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "-".join(value) or "plain",
)
def test_a_planted_rule_is_learned_and_kept(
    cls: type[ItemSequences], options: dict[str, object], cycle: Dataset, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = cls(**{"dim": 16, "dropout": 0.0, "lr": 1e-2, "ks": (1,), **options})
    data = SequenceData(InMemory(cycle), samples="users", batch_size=24, max_history=7)
    set_up(model, data)
    optimizer = model.train().configure_optimizers()
    (batch,) = data.train_dataloader()
    for _ in range(100):
        optimizer.zero_grad()
        model.loss_of(batch).backward()
        optimizer.step()
    trainer = quiet_trainer(default_root_dir=tmp_path)
    trainer.test(model, data, verbose=False)
    assert model.results["all"] == model.results["all"] | {"recall@1": 1, "users": 24}
    assert model.results["warm"]["recall@1"] == 1
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    given = {"negatives": options["negatives"]} if "negatives" in options else {}
    again = cls.load_from_checkpoint(tmp_path / "kept.ckpt", data, **given)
    histories = (torch.arange(7) + torch.tensor([[0], [1], [6]])) % 8
    everything = torch.ones(1, 9, dtype=torch.bool)
    with torch.no_grad():
        found, expected = again.rank(histories, 9, everything), model.eval().rank(histories, 9, everything)
    assert found.items[0, :, 0].tolist() == [7, 0, 5]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("cls", [GSASRec, GRU4Rec, BERT4Rec, HSTU])
def test_cold_items_are_candidates_among_themselves(
    cls: type[ItemSequences], dataset: Dataset, made: Callable[..., ItemSequences]
) -> None:
    model = made(cls)
    cold = torch.from_numpy(~dataset.warm)[None]
    ranking = model.rank(HISTORY, 4, cold)
    assert ranking.items[0].sort().values.tolist() == [np.flatnonzero(~dataset.warm).tolist()] * 3

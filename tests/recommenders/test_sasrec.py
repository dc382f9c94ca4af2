from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from genrec import devices
from genrec.data import Catalog, Dataset, InMemory, Ragged, SequenceData
from genrec.errors import GenrecError
from genrec.identifiers.negatives import NegativeSampler
from genrec.losses import Negatives
from genrec.recommenders.sasrec import SASRec, SASRecNetwork, train_embeddings
from genrec.testing import quiet_trainer
from genrec.types import PAD, Batch

HISTORY = torch.tensor([[PAD, PAD, 3, 1, 4], [2, 7, 1, 8, 2], [PAD, PAD, PAD, PAD, 5]])


@pytest.fixture
def network() -> SASRecNetwork:
    torch.manual_seed(0)
    network = SASRecNetwork(12, 8, 2, 2, 0.5, 10).eval()
    # Large enough that every part of the network is felt.
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network


def model_of(dataset: Dataset, loss: str = "ce") -> SASRec:
    torch.manual_seed(0)
    model = SASRec(dim=8, dropout=0.0, loss=loss, max_history=10)  # type: ignore[arg-type]
    model.dataset = dataset
    model.network = SASRecNetwork(len(dataset.catalog), 8, 2, 1, 0.0, 10)
    return model


def batch_of(history: Tensor, target: Tensor) -> Batch:
    users = torch.arange(len(history))
    return Batch(users, history, target, torch.empty(len(history), 0, dtype=torch.long))


def slow_states(network: SASRecNetwork, items: list[int]) -> Tensor:
    """The states [T, d] of one user without padding, position by position and head by head."""
    slots = range(network.positions.num_embeddings - len(items), network.positions.num_embeddings)
    x = torch.stack(
        [network.items.weight[i] * 8**0.5 + network.positions.weight[s] for i, s in zip(items, slots, strict=True)]
    )
    for block in network.blocks:
        normed = block.attention_norm(x)
        query, key, value = block.query(normed), block.key(x), block.value(x)
        attended = torch.zeros_like(x)
        for t in range(len(items)):
            for head in (slice(0, 4), slice(4, 8)):
                weights = torch.softmax(key[: t + 1, head] @ query[t, head] / 4**0.5, 0)
                attended[t, head] = weights @ value[: t + 1, head]
        x = block.forward_norm(normed + attended)
        x = x + block.feed_forward(x)
    return network.norm(x)


def test_states_equal_those_of_a_slow_loop(network: SASRecNetwork) -> None:
    states = network(HISTORY)
    for row, history in enumerate(HISTORY.tolist()):
        items = [item for item in history if item != PAD]
        torch.testing.assert_close(states[row, -len(items) :], slow_states(network, items), atol=1e-5, rtol=1e-4)


def test_a_later_item_changes_no_earlier_state(network: SASRecNetwork) -> None:
    before = network(HISTORY)
    for t in range(5):
        changed = HISTORY.clone()
        changed[1, t] = 11
        after = network(changed)
        assert torch.equal(after[1, :t], before[1, :t])
        assert not torch.allclose(after[1, t:], before[1, t:], atol=1e-3)


def test_padding_has_no_influence(network: SASRecNetwork) -> None:
    before = network(HISTORY)
    assert torch.isfinite(before).all()
    assert torch.equal(before[HISTORY == PAD], torch.zeros_like(before[HISTORY == PAD]))
    wider = network(torch.cat([torch.full((3, 4), PAD), HISTORY], 1))
    torch.testing.assert_close(wider[:, 4:], before, atol=1e-5, rtol=1e-4)
    alone = network(HISTORY[:1, 2:])
    torch.testing.assert_close(alone[0], before[0, 2:], atol=1e-5, rtol=1e-4)
    # Item 0 stands in the table where padding is looked up, and is in no history.
    torch.nn.init.normal_(network.items.weight.data[0], std=100)
    assert torch.equal(network(HISTORY), before)


def test_a_history_of_nothing_gives_zeros_and_no_nan(network: SASRecNetwork) -> None:
    states = network.train()(torch.full((2, 3), PAD))
    states.sum().backward()
    assert torch.equal(states, torch.zeros_like(states))
    assert all(torch.isfinite(each.grad).all() for each in network.parameters() if each.grad is not None)


def test_softmax_loss_is_the_mean_over_real_positions(dataset: Dataset) -> None:
    model = model_of(dataset)
    target = torch.tensor([1, 6, 9])
    loss = model.loss_of(batch_of(HISTORY, target))
    assert model.network is not None
    surprises = []
    for row, history in enumerate(HISTORY.tolist()):
        items = [item for item in history if item != PAD]
        states = model.network(HISTORY)[row, -len(items) :]
        for state, following in zip(states, [*items[1:], target[row].item()], strict=True):
            scores = model.network.items.weight @ state
            surprises.append(torch.logsumexp(scores, 0) - scores[int(following)])
    assert len(surprises) == 3 + 5 + 1
    torch.testing.assert_close(loss, sum(surprises) / 9)


def test_a_table_in_parts_gives_the_same_loss_and_gradients(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(dataset).double()
    found = []
    for held in (devices.CACHED, 16):
        monkeypatch.setattr(devices, "CACHED", held)
        loss = model.loss_of(batch_of(HISTORY, torch.tensor([1, 6, 9])))
        found.append((loss, torch.autograd.grad(loss, list(model.parameters()))))
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-10)


def test_drawn_negatives_give_the_softmax_loss_on_average_and_padding_is_no_negative(dataset: Dataset) -> None:
    model = model_of(dataset)
    batch = batch_of(HISTORY, torch.tensor([1, 6, 9]))
    full = model.loss_of(batch)
    counts = torch.from_numpy(dataset.frequency)
    model.sampler = NegativeSampler(Negatives("popularity", 20_000), counts)
    torch.testing.assert_close(model.loss_of(batch), full, rtol=0.02, atol=0)
    model.sampler = NegativeSampler(Negatives("in_batch"), counts)
    wider = batch._replace(history=torch.nn.functional.pad(HISTORY, (2, 0), value=PAD))
    torch.testing.assert_close(model.loss_of(wider), model.loss_of(batch))
    assert model.loss_of(batch) != full
    assert model.eval().loss_of(batch) == full


def test_negatives_are_for_the_softmax_alone() -> None:
    with pytest.raises(GenrecError, match="draws its own negative"):
        SASRec(loss="bce", negatives=Negatives("uniform", 5))


def test_binary_loss_has_a_positive_and_a_negative_term(dataset: Dataset) -> None:
    model = model_of(dataset, "bce")
    assert model.network is not None
    # All items the same: whatever is drawn, both terms see the same score s, so the mean is of log(1 + e^-s)(1 + e^s).
    model.network.items.weight.data[:] = model.network.items.weight.data[0]
    scores = (model.network(HISTORY) @ model.network.items.weight[0])[HISTORY != PAD]
    expected = (torch.log(1 + torch.exp(-scores)) + torch.log(1 + torch.exp(scores))).sum() / 9
    torch.testing.assert_close(model.loss_of(batch_of(HISTORY, torch.tensor([1, 6, 9]))), expected)


def test_loss_ignores_users_without_a_position(dataset: Dataset) -> None:
    model = model_of(dataset)
    target = torch.tensor([1, 6, 9])
    loss = model.loss_of(batch_of(HISTORY, target))
    longer = torch.cat([HISTORY, torch.full((1, 5), PAD)])
    padded = model.loss_of(batch_of(longer, torch.cat([target, torch.tensor([3])])))
    torch.testing.assert_close(padded, loss)
    nothing = model.loss_of(batch_of(longer[3:], torch.tensor([3])))
    nothing.backward()
    assert nothing == 0


def test_only_the_last_items_of_a_long_history_are_looked_at(dataset: Dataset) -> None:
    model = model_of(dataset)
    long = torch.arange(24)[None] % 12
    short = long[:, -10:]
    everything = torch.ones(1, 12, dtype=torch.bool)
    assert torch.equal(model.rank(long, 3, everything).items, model.rank(short, 3, everything).items)


@pytest.mark.parametrize("options", [{"samples": "prefixes"}, {"samples": "users", "max_history": 51}])
def test_data_that_it_cannot_be_trained_with_are_refused(dataset: Dataset, options: dict[str, Any]) -> None:
    with pytest.raises(GenrecError, match=r"`data.samples: users` .* `max_history`, 50"):
        quiet_trainer().fit(SASRec(ks=(1,)), SequenceData(InMemory(dataset), **options))


def test_it_does_not_learn_in_numbers_of_16_bits(dataset: Dataset) -> None:
    with pytest.raises(GenrecError, match="SASRec learns in full"):
        model_of(dataset).to(torch.bfloat16)


@pytest.mark.parametrize("loss", ["ce", "bce"])
def test_binary_loss_leaves_cold_items_where_they_began(dataset: Dataset, loss: str) -> None:
    model = model_of(dataset, loss)
    assert model.network is not None
    before = model.network.items.weight.detach().clone()
    optimizer = model.configure_optimizers()
    train = torch.tensor([list(dataset.train[user]) for user in range(8)])
    for _ in range(5):
        optimizer.zero_grad()
        model.loss_of(batch_of(train[:, :-1], train[:, -1])).backward()
        optimizer.step()
    moved = (model.network.items.weight != before).any(1).numpy()
    # A softmax over all items pushes the cold ones away; negatives that are warm leave them alone, to the last bit.
    np.testing.assert_array_equal(moved, dataset.warm if loss == "bce" else np.ones(12, dtype=bool))


@pytest.fixture
def cycle() -> Dataset:
    """Users who go round a -> b -> c -> a, each from another start."""
    rounds = [[(start + step) % 3 for step in range(10)] for start in range(3)] * 4
    return Dataset(
        "cycle",
        Catalog(pl.DataFrame({"item": ["a", "b", "c"]})),
        [f"user{user}" for user in range(12)],
        Ragged.from_lists([items[:8] for items in rounds]),
        Ragged.from_lists([items[8:9] for items in rounds]),
        Ragged.from_lists([items[9:] for items in rounds]),
    )


def test_a_cycle_is_learned(cycle: Dataset, tmp_path: Path) -> None:
    L.seed_everything(0)
    model = SASRec(dim=16, dropout=0.0, lr=1e-2, ks=(1,))
    trainer = quiet_trainer(max_epochs=30, default_root_dir=tmp_path)
    data = SequenceData(InMemory(cycle), samples="users", batch_size=12)
    trainer.fit(model, data)
    trainer.test(model, data, verbose=False)
    assert model.results["all"]["recall@1"] == 1
    assert model.results["all"]["users"] == 12


def test_the_exported_table_is_the_one_that_scores(cycle: Dataset, tmp_path: Path) -> None:
    sizes = {"dim": 16, "dropout": 0.0, "lr": 1e-2}
    table = train_embeddings(cycle, tmp_path, sizes, max_epochs=30, patience=30, seed=0)
    (checkpoint,) = tmp_path.glob("*.ckpt")
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    network = SASRecNetwork(3, 16, 2, 1, 0.0, 50).eval()
    network.load_state_dict({name.removeprefix("network."): value for name, value in weights.items()})
    np.testing.assert_array_equal(table, network.items.weight.detach())
    histories = torch.tensor([[0, 1, 2, 0], [1, 2, 0, 1], [2, 0, 1, 2]])
    scores = network(histories)[:, -1].detach().numpy() @ table.T
    assert scores.argmax(1).tolist() == [1, 2, 0]

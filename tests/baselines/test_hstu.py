from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from genrec.data import Dataset, Extra, InMemory, SequenceData
from genrec.errors import GenrecError
from genrec.recommenders.alone import set_up
from genrec.testing import quiet_trainer
from genrec.types import PAD
from genrec_baselines import HSTU
from genrec_baselines.hstu import HSTUNetwork, buckets

HISTORY = torch.tensor([[PAD, PAD, 3, 1, 4], [2, 7, 1, 8, 2]])
TIMES = torch.tensor([[0, 0, 100, 4000, 90_000], [10, 20, 20, 5_000_000, 5_000_060]])


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def slow_states(network: HSTUNetwork, items: list[int], times: list[int]) -> Tensor:
    """The states [T, d] of one user without padding, position by position and head by head."""
    first = network.positions.num_embeddings - len(items)
    x = torch.stack(
        [network.items.weight[i] * 8**0.5 + network.positions.weight[first + t] for t, i in enumerate(items)]
    )
    for layer in network.layers:
        gate, value, query, key = silu(layer.norm(x) @ layer.parts.weight.T).split(8, 1)
        gathered = torch.zeros_like(x)
        for t in range(len(items)):
            for head in (slice(0, 4), slice(4, 8)):
                for s in range(t + 1):
                    bucket = min(127, int(math.log(max(1, abs(times[t] - times[s]))) / 0.301))
                    bias = layer.distances[t - s] + layer.times[bucket]
                    gathered[t, head] += silu(query[t, head] @ key[s, head] + bias) / 10 * value[s, head]
        x = x + layer.out(gate * layer.gathered_norm(gathered))
    return x


@torch.no_grad()
def test_states_equal_those_of_a_slow_loop() -> None:
    torch.manual_seed(0)
    network = HSTUNetwork(12, 8, 2, 2, 0.5, 10, timed=True).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    states = network(HISTORY, TIMES)
    for row in range(2):
        real = HISTORY[row] != PAD
        slow = slow_states(network, HISTORY[row][real].tolist(), TIMES[row][real].tolist())
        torch.testing.assert_close(states[row, real], slow, atol=1e-5, rtol=1e-4)


def test_distances_in_time_are_told_apart_however_late_they_are() -> None:
    found = buckets(torch.tensor([[0, 1, 2, 100, 10**12]]) + 1_700_000_000)[0]
    assert found[0].tolist() == [0, 0, int(math.log(2) / 0.301), int(math.log(100) / 0.301), 91]
    assert torch.equal(found, found.T)
    assert buckets(torch.tensor([[0, 10**18]]))[0, 0, 1] == 127


class Days(Extra):
    """An item a day, but for every user's last one, which comes when he likes."""

    per_item = True

    def __call__(self, dataset: Dataset, users: np.ndarray, places: np.ndarray) -> np.ndarray:
        return 86_400 * (places + 30 * users[:, None] * (places > 3))


def test_times_come_from_the_batch(dataset: Dataset, tmp_path: Path) -> None:
    model = HSTU(dim=8, times="when", max_history=4, ks=(1, 2))
    data = SequenceData(InMemory(dataset), samples="users", max_history=4, extras={"when": Days()})
    trainer = quiet_trainer(max_epochs=1, default_root_dir=tmp_path)
    trainer.fit(model, data)
    network = model.network
    assert isinstance(network, HSTUNetwork)
    trainer.test(model, data, verbose=False)
    (batch,) = data.train_dataloader()
    model.loss_of(batch).backward()
    assert all(layer.times.grad.any() for layer in network.layers), "they are learned from"
    (batch,) = data.test_dataloader()
    times = batch.extras.items["when"]
    model.eval()
    with torch.no_grad(), model.holding(batch):
        torch.testing.assert_close(model.state(batch.history), network(batch.history, times)[:, -1])
    with pytest.raises(GenrecError, match=r"HSTU knows no times .*`data.extras.when`"):
        model.rank(batch.history, 1, torch.ones(1, 12, dtype=torch.bool))


def test_without_times_there_is_no_bias_of_time(dataset: Dataset) -> None:
    model = HSTU(dim=8, ks=(1,))
    set_up(model, SequenceData(InMemory(dataset), samples="users"))
    assert not [name for name, _ in model.named_parameters() if name.endswith("times")]

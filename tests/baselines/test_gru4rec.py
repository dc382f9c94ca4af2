from __future__ import annotations

import math

import pytest
import torch

from genrec.data import Dataset, InMemory, SequenceData
from genrec.errors import GenrecError
from genrec.losses import Negatives
from genrec.recommenders.alone import set_up
from genrec.types import PAD, Batch
from genrec_baselines import GRU4Rec
from genrec_baselines.gru4rec import GRU4RecNetwork, bpr_max


@torch.no_grad()
def test_states_equal_those_of_one_item_after_the_other() -> None:
    torch.manual_seed(0)
    network = GRU4RecNetwork(12, 4, 1, 0.5).eval()
    history = torch.tensor([[PAD, PAD, 3, 1, 4], [2, 7, 1, 8, 2]])
    states = network(history)
    unit = network.units
    read, kept = (weight.chunk(3) for weight in (unit.weight_ih_l0, unit.weight_hh_l0))
    read_bias, kept_bias = (bias.chunk(3) for bias in (unit.bias_ih_l0, unit.bias_hh_l0))
    for row in range(2):
        state = torch.zeros(4)
        for place in range(5):
            if history[row, place] == PAD:
                assert not states[row, place].any()
                continue
            item = network.items.weight[history[row, place]] * 2
            parts = [w @ item + b for w, b in zip(read, read_bias, strict=True)]
            old = [w @ state + b for w, b in zip(kept, kept_bias, strict=True)]
            reset, update = torch.sigmoid(parts[0] + old[0]), torch.sigmoid(parts[1] + old[1])
            state = (1 - update) * torch.tanh(parts[2] + reset * old[2]) + update * state
            torch.testing.assert_close(states[row, place], state)


def test_bpr_max_is_its_definition() -> None:
    """Eq. 10 of the paper on top-k gains; what does not count is left out."""
    right, wrong = 0.5, [1.0, -2.0, 0.25]
    total = sum(math.exp(score) for score in wrong)
    shares = [math.exp(score) / total for score in wrong]
    won = sum(s / (1 + math.exp(score - right)) for s, score in zip(shares, wrong, strict=True))
    penalty = 0.3 * sum(s * score**2 for s, score in zip(shares, wrong, strict=True))
    scores = torch.tensor([[*wrong, -torch.inf]], requires_grad=True)
    loss = bpr_max(torch.tensor([right]), scores, 0.3)
    torch.testing.assert_close(loss, torch.tensor([-math.log(won) + penalty]))
    loss.sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_negatives_are_the_drawn_items_but_for_the_right_one(dataset: Dataset) -> None:
    history = torch.tensor([[PAD, 3], [2, 7], [PAD, PAD]])
    model = GRU4Rec(dim=8, dropout=0.0, loss="bpr_max", penalty=0.5, negatives=Negatives("in_batch"), ks=(1,))
    set_up(model, SequenceData(InMemory(dataset), samples="users"))
    batch = Batch(torch.arange(3), history, torch.tensor([6, 9, 4]), torch.empty(3, 0, dtype=torch.long))
    network = model.network
    assert network is not None
    states, losses = network(history), []
    followed = [(0, 1, 6, [7, 9]), (1, 0, 7, [6, 9]), (1, 1, 9, [6, 7])]
    for row, place, right, others in followed:
        scores = network.items.weight @ states[row, place]
        losses.append(bpr_max(scores[right][None], scores[others][None], 0.5))
    torch.testing.assert_close(model.loss_of(batch), torch.stack(losses).mean())
    alone = batch._replace(history=history[:1, 1:], target=torch.tensor([6]), users=torch.zeros(1))
    model.loss_of(alone).backward()
    assert all(part.grad.isfinite().all() for part in model.parameters() if part.grad is not None)
    assert model.loss_of(alone) == 0, "nothing to compare with"


def test_comparing_with_nobody_is_refused() -> None:
    with pytest.raises(GenrecError, match="`loss: bpr_max` compares with drawn items: give `negatives`"):
        GRU4Rec(loss="bpr_max")

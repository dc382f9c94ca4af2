from __future__ import annotations

import math

import torch

from genrec.data import Dataset, InMemory, SequenceData
from genrec.recommenders.alone import set_up
from genrec.types import PAD, Batch
from genrec_baselines import GSASRec
from genrec_baselines.gsasrec import calibrated, gbce


def sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def test_the_loss_is_its_definition() -> None:
    """Eq. 9 of the paper, with probabilities as they stand there."""
    positive, negative = torch.tensor([0.5, -2.0]), torch.tensor([[1.0, 0.0, -1.0], [3.0, -0.5, 0.25]])
    for beta in (1.0, 0.3):
        expected = [
            -(math.log(sigmoid(right) ** beta) + sum(math.log(1 - sigmoid(wrong)) for wrong in others)) / 4
            for right, others in zip(positive.tolist(), negative.tolist(), strict=True)
        ]
        torch.testing.assert_close(gbce(positive, negative, beta), torch.tensor(expected))


def test_beta_is_that_of_the_paper() -> None:
    """Eq. 17: beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)."""
    for t, alpha in ((0.0, 0.1), (0.75, 256 / 3415), (1.0, 0.02)):
        assert math.isclose(calibrated(t, alpha), alpha * (t * (1 - 1 / alpha) + 1 / alpha))
    assert calibrated(0, 0.1) == 1, "the ordinary binary cross-entropy"
    assert math.isclose(calibrated(1, 0.1), 0.1), "a sigmoid is a probability"


def test_the_mean_over_real_positions_with_negatives_of_their_own(dataset: Dataset) -> None:
    history = torch.tensor([[PAD, PAD, 3, 1], [2, 7, 1, 8]])
    model = GSASRec(dim=8, dropout=0.0, drawn=3, t=0.5, ks=(1,))
    set_up(model, SequenceData(InMemory(dataset), samples="users"))
    torch.manual_seed(0)
    drawn = torch.randint(12, (8, 3))
    assert not dataset.warm[drawn.numpy()].all(), "items that nobody has taken in training are told from what was taken"
    torch.manual_seed(0)
    loss = model.loss_of(Batch(torch.arange(2), history, torch.tensor([6, 9]), torch.empty(2, 0, dtype=torch.long)))
    network, losses = model.network, []
    assert network is not None
    states = network(history)
    # Of twelve items eleven are wrong.
    beta = 1 - 0.5 * (1 - 3 / 11)
    for row, (items, target) in enumerate(zip(history.tolist(), (6, 9), strict=True)):
        for place, following in enumerate([*items[1:], target]):
            if items[place] == PAD:
                continue
            rows = network.items.weight[[following, *drawn[4 * row + place].tolist()]]
            score = (rows @ states[row, place]).tolist()
            terms = [beta * math.log(sigmoid(score[0])), *(math.log(1 - sigmoid(wrong)) for wrong in score[1:])]
            losses.append(-sum(terms) / 4)
    assert len(losses) == 6
    assert math.isclose(loss.item(), sum(losses) / 6, rel_tol=1e-5)

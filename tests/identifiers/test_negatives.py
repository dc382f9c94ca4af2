"""Negatives are drawn as they say; a loss over them has, on average, the gradients of the loss over everything."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genrec.errors import GenrecError
from genrec.identifiers import ItemIdentifier, Search, SETRec
from genrec.identifiers.negatives import NegativeSampler
from genrec.losses import Negatives
from genrec.recommenders.recommender import Recommender
from genrec.testing import HISTORY, TARGET, TinyModel, tiny_assets, tiny_backbone, tiny_dataset
from genrec.types import Prefixes
from genrec_baselines import BIGRec, DreamRec, E4SRec, SemID

from ..baselines.single_vector import BATCH
from ..windows import all_prefixes

COUNTS = torch.tensor([0, 1, 5, 2, 0, 8])
LEARNERS = (SETRec, E4SRec, SemID, BIGRec)


@pytest.mark.parametrize(
    ("kind", "shares"),
    [("uniform", [1 / 6] * 6), ("popularity", [1 / 18, 1 / 18, 5 / 18, 2 / 18, 1 / 18, 8 / 18])],
)
def test_classes_are_drawn_as_often_as_their_counts_say(kind: str, shares: list[float]) -> None:
    torch.manual_seed(0)
    number = 40_000
    drawn = NegativeSampler(Negatives(kind, number), COUNTS).draw(torch.tensor([1]))  # type: ignore[arg-type]
    found = torch.bincount(drawn.classes, minlength=6).tolist()
    for times, share in zip(found, shares, strict=True):
        assert abs(times - number * share) < 4 * math.sqrt(number * share)
    torch.testing.assert_close(drawn.log_counts, (number * torch.tensor(shares))[drawn.classes].log())


def test_the_other_targets_of_the_batch_count_as_often_as_they_were_expected_there() -> None:
    target, real = torch.tensor([2, 5, 5, 3]), torch.tensor([True, True, True, False])
    drawn = NegativeSampler(Negatives("in_batch"), COUNTS).draw(target, real)
    assert drawn.classes.tolist() == target.tolist()
    # Two others beside each target.
    expected = torch.tensor([2 * 5 / 18, 2 * 8 / 18, 2 * 8 / 18, torch.inf])
    torch.testing.assert_close(drawn.log_counts.exp(), expected)


def model_of(identifier: ItemIdentifier, kind: str, root: Path) -> TinyModel:
    dataset = tiny_dataset()
    return TinyModel(identifier, tiny_backbone(kind), dataset, tiny_assets(dataset, root))


def gradient(model: TinyModel, loss: Tensor) -> Tensor:
    found = torch.autograd.grad(loss, model.learned(), allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in found])


@pytest.mark.parametrize("negatives", [Negatives("uniform", 2000), Negatives("popularity", 2000)], ids=lambda n: n.kind)
@pytest.mark.parametrize("cls", LEARNERS, ids=lambda cls: cls.__name__)
def test_gradients_are_on_average_those_of_the_full_softmax(
    cls: type[ItemIdentifier], negatives: Negatives, tmp_path: Path
) -> None:
    full = model_of(cls(), "t5", tmp_path)
    expected = gradient(full, full.losses(HISTORY, TARGET)["loss"])
    identifier = cls()
    identifier.learn_from(negatives)
    model = model_of(identifier, "t5", tmp_path)
    torch.manual_seed(3)
    found = torch.stack([gradient(model, model.losses(HISTORY, TARGET)["loss"]) for _ in range(12)])
    error = (found.mean(0) - expected).norm()
    spread = (found.var(0).sum() / len(found)).sqrt()
    assert 0 < error < 3 * spread
    assert spread < 0.05 * expected.norm()
    model.identifier.eval()
    full.identifier.eval()
    assert torch.equal(*(each.losses(HISTORY, TARGET)["loss"] for each in (model, full)))


@pytest.mark.parametrize("negatives", [Negatives("uniform", 5), Negatives("in_batch")], ids=lambda n: n.kind)
@pytest.mark.parametrize("cls", LEARNERS, ids=lambda cls: cls.__name__)
def test_packed_prompts_have_the_same_loss_over_the_same_negatives(
    cls: type[ItemIdentifier], negatives: Negatives, tmp_path: Path
) -> None:
    identifier = cls()
    identifier.learn_from(negatives)
    model = model_of(identifier, "causal", tmp_path)
    users, stops, history, target = all_prefixes(BATCH)
    found = []
    for packed in (True, False):
        context = model.packed(BATCH.history, Prefixes(users, stops)) if packed else model.context(history)
        torch.manual_seed(2)
        losses = identifier.loss(model.backbone, context, history, target)
        found.append((losses, gradient(model, losses["loss"])))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-3)


def test_a_target_is_told_from_the_others_of_the_batch_alone(tmp_path: Path) -> None:
    identifier = E4SRec()
    identifier.learn_from(Negatives("in_batch"))
    model = model_of(identifier, "t5", tmp_path)
    target = torch.tensor([3, 8, 3])
    loss = model.losses(HISTORY, target)["loss"]
    scores = model.backbone(model.context(HISTORY), identifier._query(model.backbone))[:, 0] @ identifier.head.weight.T
    counts = torch.from_numpy(tiny_dataset().frequency).clamp(min=1)
    expected = []
    for user, own in enumerate(target.tolist()):
        others = [item for item in target.tolist() if item != own]
        weights = [1 / (2 * counts[item] / counts.sum()) for item in others]
        total = sum(weight * scores[user, item].exp() for weight, item in zip(weights, others, strict=True))
        expected.append((scores[user, own].exp() + total).log() - scores[user, own])
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_an_identifier_without_a_softmax_over_many_refuses_negatives() -> None:
    negatives = Negatives("uniform", 5)
    with pytest.raises(GenrecError, match="DreamRec learns from no softmax over items or words"):
        Recommender(DreamRec(), tiny_backbone("t5"), negatives=negatives)
    with pytest.raises(GenrecError, match="which are few"):
        Recommender(SemID(search=Search(normalize="level")), tiny_backbone("t5"), negatives=negatives)

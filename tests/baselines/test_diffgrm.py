"""What must hold for DiffGRM whatever its weights are."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genrec.assets import PQCodes
from genrec.data import Dataset
from genrec.decoding.any_order import AnyOrder
from genrec.errors import GenrecError
from genrec.testing import HISTORY, TARGET, TinyModel, tiny_assets, tiny_backbone
from genrec.testing.tiny import by_item
from genrec.types import PAD
from genrec_baselines import DiffGRM

CODES = PQCodes(digits=3, size=4, rotate=False, seed=0)
SLOTS = 3


class Model(TinyModel):
    """DiffGRM on a tiny model, in evaluation mode."""

    def __init__(self, dataset: Dataset, folder: Path, kind: str = "t5", **keys: Any) -> None:
        self.diffgrm = DiffGRM(CODES, **keys)
        super().__init__(self.diffgrm, tiny_backbone(kind), dataset, tiny_assets(dataset, folder))
        self.diffgrm.eval()

    @torch.no_grad()
    def told(self, user: Tensor, partial: list[int]) -> Tensor:
        """What the model says of all codes, [m, size], to one user and one partial assignment."""
        own = user[user != PAD] if (user != PAD).any() else user[:1]
        query = self.diffgrm._query(torch.tensor([[partial]]))
        return self.diffgrm._log_probs(self.backbone.write(self.read(own[None]), query))[0]

    def slowly(self, user: Tensor, item: int, steps: int) -> float:
        """The score of an item: that of the best order, digit by digit."""
        codes, best = self.diffgrm.codes[item].tolist(), -float("inf")
        for order in permutations(range(SLOTS)):
            partial, total = [PAD] * SLOTS, 0.0
            for place, slot in enumerate(order):
                if place == 0 or steps == SLOTS:
                    told = self.told(user, partial)
                total += float(told[slot, codes[slot]])
                partial[slot] = codes[slot]
            best = max(best, total)
        return best


@pytest.mark.parametrize("kind", ["t5", "causal"])
@pytest.mark.parametrize("steps", [1, SLOTS])
def test_ranking_is_its_definition(kind: str, steps: int, dataset: Dataset, tmp_path: Path) -> None:
    model = Model(dataset, tmp_path, kind, steps=steps)
    ranking = model.rank(HISTORY)

    for number, user in enumerate(HISTORY):
        items = ranking.items[0, number].tolist()
        assert sorted(items) == list(range(12))
        expected = torch.tensor([model.slowly(user, item, steps) for item in items])
        torch.testing.assert_close(ranking.scores[0, number], expected, atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", ["t5", "causal"])
@torch.no_grad()
def test_the_order_of_the_digits_moves_nothing(kind: str, dataset: Dataset, tmp_path: Path) -> None:
    """If what reads and writes each of them is reordered as they are."""
    model = Model(dataset, tmp_path, kind)
    diffgrm, before = model.diffgrm, by_item(model.rank(HISTORY))
    order = torch.tensor([2, 0, 1])
    for parameter in (diffgrm.embeddings, diffgrm.hidden):
        parameter.copy_(parameter[order].clone())
    read = diffgrm.item[0].weight.unflatten(1, (SLOTS, -1))
    diffgrm.item[0].weight.copy_(read[:, order].flatten(1))
    diffgrm.codes = diffgrm.codes[:, order]
    diffgrm.any_order = AnyOrder(diffgrm.codes, CODES.size)
    torch.testing.assert_close(by_item(model.rank(HISTORY)), before, atol=1e-4, rtol=0)


def test_every_set_is_ranked_whole_however_few_the_beams(dataset: Dataset, tmp_path: Path) -> None:
    model = Model(dataset, tmp_path, beams=1)
    allowed = torch.stack([torch.arange(12) % 2 == 0, torch.arange(12) >= 6])
    ranking = model.rank(HISTORY, 6, allowed)

    for items, among in zip(ranking.items, allowed, strict=True):
        assert (items.sort(1).values == among.nonzero()[:, 0]).all()
    assert (ranking.scores.diff(dim=2) <= 0).all()


@pytest.mark.parametrize("kind", ["t5", "causal"])
@torch.no_grad()
def test_on_policy_noise_masks_what_the_model_is_least_sure_of(kind: str, dataset: Dataset, tmp_path: Path) -> None:
    model = Model(dataset, tmp_path, kind)
    codes, context = model.diffgrm.codes[TARGET].long(), model.context(HISTORY)
    masked = model.diffgrm._masked(model.backbone, context, codes)

    assert masked.sum(2).tolist() == [[1, 2, 3]] * 3
    assert (masked[:, 1:] >= masked[:, :-1]).all()
    for user, views in zip(HISTORY, masked, strict=True):
        sure = model.told(user, [PAD] * SLOTS).amax(1)
        assert views.sum(0).argsort(descending=True).tolist() == sure.argsort().tolist()


@pytest.mark.parametrize("kind", ["t5", "causal"])
@torch.no_grad()
def test_the_loss_is_the_mean_over_views_of_what_is_masked(kind: str, dataset: Dataset, tmp_path: Path) -> None:
    model = Model(dataset, tmp_path, kind, smoothing=0.2)
    codes = model.diffgrm.codes[TARGET].long()
    masked = model.diffgrm._masked(model.backbone, model.context(HISTORY), codes)
    found = []
    for user, right, views in zip(HISTORY, codes, masked, strict=True):
        for view in views:
            told = model.told(user, torch.where(view, PAD, right).tolist())
            wrong = [-0.8 * told[slot, right[slot]] - 0.2 * told[slot].mean() for slot in view.nonzero()[:, 0].tolist()]
            found.append(torch.stack(wrong).mean())
    torch.testing.assert_close(model.losses(HISTORY, TARGET)["loss"], torch.stack(found).mean(), atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("noising", ["nested", "random", "fixed"])
def test_other_noise(noising: str, dataset: Dataset, tmp_path: Path) -> None:
    model = Model(dataset, tmp_path, noising=noising)
    codes = model.diffgrm.codes[torch.arange(12)].long()
    masked = model.diffgrm._masked(model.backbone, model.context(HISTORY), codes)

    assert masked.any(2).all()
    if noising == "random":
        assert masked.float().mean() < 0.9
    else:
        assert masked.sum(2).tolist() == [[1, 2, 3]] * 12
        assert (len(masked[:, 0].unique(dim=0)) == 1) == (noising == "fixed")


def test_the_model_learns_as_it_was(dataset: Dataset, tmp_path: Path) -> None:
    model = Model(dataset, tmp_path)
    for part in (model.identifier, model.backbone):
        part.train()
    model.losses(HISTORY, TARGET)["loss"].backward()

    assert model.backbone.training
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.learned())


def test_impossible_arguments() -> None:
    with pytest.raises(GenrecError, match="noising is on_policy, nested, random, fixed, not `some`"):
        DiffGRM(noising="some")  # type: ignore[arg-type]
    with pytest.raises(GenrecError, match="3 digits, so at most as many steps, not 4"):
        DiffGRM(CODES, steps=4)
    with pytest.raises(GenrecError, match="beams"):
        DiffGRM(beams=0)

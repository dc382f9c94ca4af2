"""What must hold for RPG whatever its weights are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.assets import PQCodes
from genrec.data import Dataset
from genrec.decoding.graph import GraphSearch
from genrec.errors import GenrecError
from genrec.testing import HISTORY, TARGET, TinyModel, tiny_assets, tiny_backbone
from genrec.testing.tiny import by_item
from genrec.types import PAD
from genrec_baselines import RPG

CODES = PQCodes(digits=3, size=4, rotate=False, seed=0)
WAYS = [(history, heads) for history in ("mean", "set") for heads in ("blocks", "queries")]


class Model(TinyModel):
    """RPG on a tiny model, in evaluation mode, with weights that are not as they begin."""

    def __init__(self, dataset: Dataset, folder: Path, kind: str = "t5", **keys: Any) -> None:
        self.rpg = RPG(CODES, **keys)
        super().__init__(self.rpg, tiny_backbone(kind), dataset, tiny_assets(dataset, folder))
        if self.rpg.heads == "blocks":
            torch.nn.init.normal_(self.rpg.blocks, std=0.3)
            torch.nn.init.normal_(self.rpg.biases, std=0.3)
        self.rpg.eval()

    def states(self, history: Tensor) -> Tensor:
        """What each digit's codes are compared with, [B, m, D], one user and one digit after another."""
        found = []
        for user in history:
            own = user[user != PAD] if (user != PAD).any() else user[:1]
            written = self.backbone.write(self.read(own[None]), self.rpg._query(self.backbone))[0]
            if self.rpg.heads == "blocks":
                pairs = zip(self.rpg.blocks, self.rpg.biases, strict=True)
                written = torch.cat([written + F.silu(written @ weight + bias) for weight, bias in pairs])
            found.append(written)
        return torch.stack(found)


@pytest.mark.parametrize("kind", ["t5", "causal"])
@pytest.mark.parametrize(("history", "heads"), WAYS)
@torch.no_grad()
def test_an_items_score_is_the_mean_of_its_codes_log_probabilities(
    history: str, heads: str, kind: str, dataset: Dataset, tmp_path: Path
) -> None:
    model = Model(dataset, tmp_path, kind, history=history, heads=heads)
    codes, table = model.rpg.codes.long(), model.rpg.embeddings
    states = model.states(HISTORY)

    scores = by_item(model.rank(HISTORY))[0]
    for user in range(len(HISTORY)):
        digits = []
        for digit in range(3):
            cosines = F.cosine_similarity(states[user, digit], table[digit], dim=1)
            digits.append((cosines / 0.07).log_softmax(0)[codes[:, digit]])
        torch.testing.assert_close(scores[user], torch.stack(digits).mean(0), atol=2e-4, rtol=1e-5)
    loss = model.losses(HISTORY, TARGET)["loss"]
    torch.testing.assert_close(loss, -scores[torch.arange(3), TARGET].mean(), atol=2e-4, rtol=1e-5)


@torch.no_grad()
def test_items_are_read_as_the_mean_of_their_codes_or_as_the_set_of_them(dataset: Dataset, tmp_path: Path) -> None:
    rpg = Model(dataset, tmp_path, history="set").rpg
    codes = rpg.codes.long()
    tokens = rpg.embed(HISTORY)

    assert tokens.embeds.shape == (3, 9, 32)
    torch.testing.assert_close(tokens.embeds[0, 3:6], rpg.embeddings[torch.arange(3), codes[1]])
    assert tokens.sets[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert tokens.mask[1].tolist() == [False] * 3 + [True] * 6
    rpg.history = "mean"
    torch.testing.assert_close(rpg.embed(HISTORY).embeds[0, 1], tokens.embeds[0, 3:6].mean(0))


@pytest.mark.parametrize("kind", ["t5", "causal"])
@pytest.mark.parametrize("history", ["mean", "set"])
@torch.no_grad()
def test_the_order_of_the_digits_moves_nothing(history: str, kind: str, dataset: Dataset, tmp_path: Path) -> None:
    model = Model(dataset, tmp_path, kind, history=history, heads="queries")
    before = by_item(model.rank(HISTORY))
    order = torch.tensor([2, 0, 1])
    for parameter in (model.rpg.embeddings, model.rpg.queries):
        parameter.copy_(parameter[order].clone())
    model.rpg.codes = model.rpg.codes[:, order]

    torch.testing.assert_close(by_item(model.rank(HISTORY)), before, atol=1e-4, rtol=0)


def test_blocks_begin_as_the_identity(dataset: Dataset, tmp_path: Path) -> None:
    rpg = RPG(CODES)
    TinyModel(rpg, tiny_backbone("t5"), dataset, tiny_assets(dataset, tmp_path))

    state = torch.randn(2, 1, 32)
    cosines = F.normalize(state, dim=2) @ F.normalize(rpg.embeddings, dim=2).transpose(1, 2)[:, None]
    expected = (cosines[:, :, 0].transpose(0, 1) / 0.07).log_softmax(2)
    torch.testing.assert_close(rpg._log_probs(state), expected)


def test_a_walk_over_the_graph_ranks_as_all_items_do(dataset: Dataset, tmp_path: Path) -> None:
    exact = Model(dataset, tmp_path).rank(HISTORY, 4)
    # Seven items are looked at: the graph is walked, and what it misses is compared after all.
    model = Model(dataset, tmp_path, search=GraphSearch(edges=7, beams=1, steps=1))
    walked = model.rank(HISTORY, 4)

    assert model.rpg._graph is not None
    scores = by_item(Model(dataset, tmp_path).rank(HISTORY))
    torch.testing.assert_close(walked.scores, scores.gather(2, walked.items))
    assert (walked.items[..., None] == exact.items[..., None, :]).any(-1).float().mean() >= 0.5


def test_impossible_arguments() -> None:
    with pytest.raises(GenrecError, match="history is mean or set, not `sum`"):
        RPG(history="sum")  # type: ignore[arg-type]
    with pytest.raises(GenrecError, match="heads is blocks or queries, not `head`"):
        RPG(heads="head")  # type: ignore[arg-type]
    with pytest.raises(GenrecError, match="temperature above 0"):
        RPG(temperature=0)

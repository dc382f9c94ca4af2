"""What must hold for E4SRec whatever its weights are, and what training does to cold items."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from genrec.data import Dataset
from genrec.testing import HISTORY, TARGET
from genrec.types import PAD
from genrec_baselines import E4SRec

from .single_vector import (
    ITEMS,
    LISTS,
    Model,
    assert_alone_as_in_a_batch,
    assert_one_ordered_token,
    assert_packed_is_separate,
    make_lora,
    tiny_backbone,
)

COLD = [4, 5, 10, 11]


@pytest.fixture(params=["t5", "causal"])
def model(request: pytest.FixtureRequest, dataset: Dataset, tmp_path: Path) -> Model:
    return Model(E4SRec(), tiny_backbone(request.param), dataset, tmp_path)


def test_the_cold_items_of_this_file_are_those_of_the_data_set(dataset: Dataset) -> None:
    assert np.flatnonzero(~dataset.warm).tolist() == COLD


def test_an_item_is_one_ordered_token_between_the_words_of_the_prompt(model: Model) -> None:
    assert_one_ordered_token(model)


def test_an_items_vector_moves_the_scores_of_those_who_took_it(model: Model) -> None:
    before = model.scores(HISTORY)
    assert isinstance(model.identifier, E4SRec)
    model.identifier.cf[9] += 1
    torch.testing.assert_close(model.scores(HISTORY), before)
    model.identifier.cf[1] += 1
    after = model.scores(HISTORY)
    assert (after[0] - before[0]).abs().max() > 1e-3
    torch.testing.assert_close(after[1:], before[1:])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LISTS)
def test_a_user_is_the_same_alone_and_in_any_batch(model: Model, users: list[list[int]]) -> None:
    assert_alone_as_in_a_batch(model, users, atol=1e-5, rtol=0)


def test_the_loss_is_a_softmax_over_all_items_and_padding_is_none_of_them(model: Model) -> None:
    scores = model.scores(HISTORY)
    assert scores.shape == (3, ITEMS)
    expected = [scores[user].logsumexp(0) - scores[user, target] for user, target in enumerate(TARGET.tolist())]
    torch.testing.assert_close(model.losses(HISTORY, TARGET)["loss"].detach(), torch.stack(expected).mean())


def test_warm_and_cold_lists_are_parts_of_the_whole_ranking(model: Model, dataset: Dataset) -> None:
    warm = torch.from_numpy(dataset.warm)
    memory = model.read(HISTORY)
    with torch.no_grad():
        whole, *parts = (
            model.identifier.rank(model.backbone, memory, int(allowed.sum()), allowed[None]).items[0]
            for allowed in (torch.ones_like(warm), warm, ~warm)
        )
    for user in range(3):
        for part in parts:
            assert part[user].tolist() == [item for item in whole[user].tolist() if item in part[user]]


def test_a_new_head_knows_nothing(model: Model) -> None:
    loss = model.losses(HISTORY, TARGET)["loss"].item()
    # The logits begin with a variance of 32 * 0.02 ** 2, times that of a number of the hidden state.
    assert loss == pytest.approx(math.log(ITEMS), abs=0.2)


def test_packed_training_is_training_on_every_prefix(dataset: Dataset, tmp_path: Path) -> None:
    assert_packed_is_separate(Model(E4SRec(), tiny_backbone("causal"), dataset, tmp_path))


def test_a_batch_of_empty_histories_trains_and_ranks(model: Model) -> None:
    empty = torch.full((2, 1), PAD)
    gradients = model.gradients(model.losses(empty, TARGET[:2]))
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    assert torch.isfinite(model.scores(empty)).all()


def test_adapters_projection_and_head_learn_and_the_vectors_do_not(dataset: Dataset, tmp_path: Path) -> None:
    model = Model(E4SRec(), make_lora(tmp_path / "base"), dataset, tmp_path)
    assert isinstance(model.identifier, E4SRec)
    before = model.identifier.cf.clone()
    model.train(steps=3)
    own = {name for name in model.gradients(model.losses(HISTORY, TARGET)) if "lora_" not in name}
    assert own == {"identifier.projection.weight", "identifier.projection.bias", "identifier.head.weight"}
    assert torch.equal(model.identifier.cf, before)
    assert torch.equal(before, torch.from_numpy(dataset.cf))


def test_training_finds_the_next_item_and_pushes_cold_items_down(model: Model) -> None:
    model.train(steps=60)
    scores = model.scores(torch.tensor([[0, 1, 2], [6, 7, 8]]))
    assert scores.argmax(1).tolist() == [3, 9]
    cold = torch.zeros(ITEMS, dtype=torch.bool).index_fill(0, torch.tensor(COLD), True)
    assert (scores[:, cold].mean(1) < scores[:, ~cold].mean(1)).all()


def test_only_the_head_has_a_row_per_item(model: Model) -> None:
    rows = [name for name, value in model.identifier.state_dict().items() if ITEMS in value.shape]
    assert rows == ["head.weight"]


# Items that come later


def test_added_items_rank_among_the_cold_ones_and_move_nobody(model: Model) -> None:
    model.train(steps=60)
    before = model.scores(HISTORY)
    model.add_new(200)
    after = model.scores(HISTORY)
    torch.testing.assert_close(after[:, :ITEMS], before)
    cold, added = after[:, COLD].mean(1), after[:, ITEMS:]
    spread = 0.02 * model_state(model).norm(dim=1)
    assert ((added.mean(1) - cold).abs() < 4 * spread / math.sqrt(200)).all()
    assert (added.std(1) / spread).tolist() == pytest.approx([1] * 3, rel=0.25)


@torch.no_grad()
def model_state(model: Model) -> torch.Tensor:
    assert isinstance(model.identifier, E4SRec)
    return model.backbone.write(model.read(HISTORY), model.identifier._query(model.backbone))[:, 0]


def test_an_added_item_is_what_it_is_whatever_comes_after_it(model: Model) -> None:
    model.add_new(1)
    one = model.scores(HISTORY)
    model.add_new(2)
    torch.testing.assert_close(model.scores(HISTORY)[:, : ITEMS + 1], one)
    assert len(set(model.scores(HISTORY)[0].tolist())) == ITEMS + 3


def test_added_items_are_none_of_the_checkpoint(dataset: Dataset, tmp_path: Path) -> None:
    backbone = tiny_backbone("t5")
    model = Model(E4SRec(), backbone, dataset, tmp_path)
    model.add_new(3)
    loaded = Model(E4SRec(), backbone, dataset, tmp_path, seed=2)
    loaded.identifier.load_state_dict(model.identifier.state_dict())
    loaded.add_new(3)
    assert torch.equal(loaded.scores(HISTORY), model.scores(HISTORY))


def test_without_cold_items_an_added_one_is_like_the_average(dataset: Dataset, tmp_path: Path) -> None:
    everything = Dataset(
        "all warm", dataset.catalog, dataset.users, dataset.train.join(dataset.validation).join(dataset.test),
        dataset.validation, dataset.test, cf=dataset.cf,
    )  # fmt: skip
    model = Model(E4SRec(), tiny_backbone("t5"), everything, tmp_path)
    assert isinstance(model.identifier, E4SRec)
    with torch.no_grad():
        model.identifier.head.weight += 5
    model.add_new(1)
    assert model.identifier.added.mean().item() == pytest.approx(5, abs=0.1)


def test_the_seed_decides_the_order_of_untrained_items(dataset: Dataset, tmp_path: Path) -> None:
    orders = []
    for seed in (3, 3, 4):
        model = Model(E4SRec(), tiny_backbone("t5"), dataset, tmp_path, seed=seed)
        model.add_new(10)
        scores = model.scores(HISTORY)[0]
        orders.append((scores[COLD].argsort().tolist(), scores[ITEMS:].argsort().tolist()))
    assert orders[0] == orders[1]
    assert orders[0][1] != orders[2][1]

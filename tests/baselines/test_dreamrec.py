from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec.backbones import Backbone
from genrec.data import Dataset
from genrec.errors import GenrecError
from genrec.testing import HISTORY, TARGET
from genrec.types import PAD
from genrec_baselines import DreamRec
from genrec_baselines.diffusion import Diffusion, betas
from genrec_baselines.dreamrec import spread

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
from .test_diffusion import sampled_by_the_book

EVERYTHING = torch.ones(1, ITEMS, dtype=torch.bool)


@given(st.integers(1, 6))
def test_the_spread_by_hand(count: int) -> None:
    vectors = torch.randn(count, 4, generator=torch.Generator().manual_seed(count))
    cosine, variance = spread(vectors)
    pairs = [F.cosine_similarity(vectors[i], vectors[j], 0) for i in range(count) for j in range(count) if i != j]
    assert cosine.item() == pytest.approx(float(np.mean(pairs)) if pairs else 0, abs=1e-5)
    assert variance.item() == pytest.approx(float(vectors.numpy().var(0).mean()), abs=1e-5)


def made(dataset: Dataset, folder: Path, backbone: Backbone | None = None, seed: int = 1, **options: Any) -> Model:
    options = {"dim": 8, "diffusion": Diffusion(20), **options}
    needs_cf = options.get("table") == "frozen"
    bare = Dataset(dataset.name, dataset.catalog, dataset.users, dataset.train, dataset.validation, dataset.test)
    return Model(DreamRec(**options), backbone or tiny_backbone("t5"), dataset if needs_cf else bare, folder, seed=seed)


@pytest.fixture(params=["t5", "causal"])
def model(request: pytest.FixtureRequest, dataset: Dataset, tmp_path: Path) -> Model:
    return made(dataset, tmp_path, tiny_backbone(request.param))


def test_an_item_is_one_ordered_token_between_the_words_of_the_prompt(model: Model) -> None:
    assert_one_ordered_token(model)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LISTS)
def test_a_user_is_the_same_alone_and_in_any_batch(model: Model, users: list[list[int]]) -> None:
    assert_alone_as_in_a_batch(model, users, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layers", ["mlp1", "mlp2"])
@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_the_scores_by_the_book(dataset: Dataset, tmp_path: Path, layers: Any, guidance: float) -> None:
    model = made(dataset, tmp_path, denoiser=layers, guidances=[guidance])
    dreamrec = model.identifier
    assert isinstance(dreamrec, DreamRec)
    with torch.no_grad():
        state = model.backbone.write(model.read(HISTORY), dreamrec._query(model.backbone))[:, 0]
        h = dreamrec.condition(state)
        generator = torch.Generator().manual_seed(int(dreamrec.seed) + 1)
        noise = torch.randn(20, 1, 8, generator=generator)

        def denoise(x: Tensor, step: int) -> Tensor:
            at, x = torch.full((3,), step), x.expand(3, -1).float()
            guided = (1 + guidance) * dreamrec.denoiser(x, h, at)
            return guided - guidance * dreamrec.denoiser(x, dreamrec.null.expand(3, -1), at)

        expected = sampled_by_the_book(denoise, betas("exp", 20), noise).float() @ dreamrec.vectors.T
    torch.testing.assert_close(model.scores(HISTORY), expected, atol=1e-4, rtol=1e-4)


def test_several_samples_are_averaged(dataset: Dataset, tmp_path: Path) -> None:
    model = made(dataset, tmp_path, diffusion=Diffusion(20, samples=3), denoiser="mlp2")
    dreamrec = model.identifier
    assert isinstance(dreamrec, DreamRec)
    noise = torch.randn(20, 1, 3, 1, 8, generator=torch.Generator().manual_seed(int(dreamrec.seed) + 1))
    with torch.no_grad():
        condition = torch.randn(2, 8)
        each = [
            dreamrec.diffusion.sample(
                lambda x, step: dreamrec.denoiser(x, condition, torch.tensor(step)), noise[:, 0, sample]
            )
            for sample in range(3)
        ]
        found = dreamrec._generate(condition, [0.0])
    torch.testing.assert_close(found[0], torch.stack(each).mean(0))


def test_without_guidance_the_null_condition_does_not_matter(model: Model) -> None:
    assert isinstance(model.identifier, DreamRec)
    for guidance, matters in ((0.0, False), (2.0, True)):
        model.identifier.choose(guidance)
        before = model.scores(HISTORY)
        with torch.no_grad():
            model.identifier.null += 1
        assert ((model.scores(HISTORY) - before).abs().max() > 1e-3) == matters


def test_the_sweep_equals_one_guidance_after_the_other(model: Model) -> None:
    allowed = torch.stack([EVERYTHING[0], torch.arange(ITEMS) % 2 == 0])
    memory = model.read(HISTORY)
    with torch.no_grad():
        sweep = model.identifier.rank_each(model.backbone, memory, 4, allowed)
        assert list(sweep) == [0, 1, 2, 4]
        for guidance, ranking in sweep.items():
            model.identifier.choose(guidance)
            alone = model.identifier.rank(model.backbone, memory, 4, allowed)
            assert torch.equal(alone.items, ranking.items)
            torch.testing.assert_close(alone.scores, ranking.scores, atol=1e-4, rtol=1e-4)
    assert not torch.equal(sweep[0].scores, sweep[4].scores)


def test_the_language_model_is_asked_once(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    write = model.backbone.write
    monkeypatch.setattr(model.backbone, "write", lambda *args: calls.append(1) or write(*args))
    with torch.no_grad():
        model.identifier.rank_each(model.backbone, model.read(HISTORY), 4, EVERYTHING)
    assert len(calls) == 1


def test_the_seed_of_the_run_decides_and_is_saved(dataset: Dataset, tmp_path: Path) -> None:
    first, again, other = (made(dataset, tmp_path, seed=seed) for seed in (3, 3, 4))
    for model in (first, again, other):
        model.add_new(8)
    assert torch.equal(first.scores(HISTORY), again.scores(HISTORY))
    assert torch.equal(first.scores(HISTORY), first.scores(HISTORY))
    assert first.scores(HISTORY)[0, ITEMS:].argsort().tolist() != other.scores(HISTORY)[0, ITEMS:].argsort().tolist()
    other.identifier.load_state_dict(first.identifier.state_dict())
    other.identifier.index(other.catalog, other.assets)
    assert torch.equal(other.scores(HISTORY), first.scores(HISTORY))


@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_the_condition_or_the_null_condition_learns(dataset: Dataset, tmp_path: Path, dropout: float) -> None:
    model = made(dataset, tmp_path, make_lora(tmp_path / "base"), condition_dropout=dropout)
    model.identifier.train()
    gradients = model.gradients(model.losses(HISTORY, TARGET))
    reaches_encoder = any(
        name.startswith(("backbone", "identifier.condition", "identifier.token")) for name in gradients
    )
    assert reaches_encoder == (dropout == 0)
    assert ("identifier.null" in gradients) == (dropout == 1)
    of_model = [name for name in gradients if name.startswith("backbone")]
    assert all("lora_" in name for name in of_model)


def test_the_loss_is_the_squared_error_of_the_clean_vector(model: Model) -> None:
    dreamrec = model.identifier
    assert isinstance(dreamrec, DreamRec)
    with torch.no_grad():
        torch.manual_seed(5)
        found = model.losses(HISTORY, TARGET)
        torch.manual_seed(5)
        step, noise = torch.randint(20, (3,)), torch.randn(3, 8)
        state = model.backbone(model.context(HISTORY), dreamrec._query(model.backbone))[:, 0]
        clean, bar = dreamrec.vectors[TARGET], (1 - betas("exp", 20)).cumprod(0)[step][:, None].float()
        guess = dreamrec.denoiser(bar.sqrt() * clean + (1 - bar).sqrt() * noise, dreamrec.condition(state), step)
    torch.testing.assert_close(found["loss"], (clean - guess).square().sum() / (3 * 8))
    assert found["cosine"].item() == pytest.approx(spread(clean)[0].item())
    assert found["variance"].item() == pytest.approx(clean.var(0, correction=0).mean().item())


def test_half_precision_trains_and_samples_in_full_precision(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(5)
    full = model.losses(HISTORY, TARGET)["loss"]
    written = torch.randn(3, 1, 32)
    monkeypatch.setattr(model.backbone, "write", lambda *_: written)
    before = model.scores(HISTORY)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.scores(HISTORY), before)
        monkeypatch.undo()
        torch.manual_seed(5)
        torch.testing.assert_close(model.losses(HISTORY, TARGET)["loss"], full, atol=0, rtol=0.05)


def test_packed_training_is_training_on_every_prefix(dataset: Dataset, tmp_path: Path) -> None:
    model = made(dataset, tmp_path, tiny_backbone("causal"))
    model.identifier.train()
    assert_packed_is_separate(model)


def test_a_batch_of_empty_histories_trains_and_ranks(model: Model) -> None:
    empty = torch.full((2, 1), PAD)
    gradients = model.gradients(model.losses(empty, TARGET[:2]))
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    assert torch.isfinite(model.scores(empty)).all()


def test_training_finds_the_next_item_and_leaves_cold_vectors_as_they_were(model: Model) -> None:
    assert isinstance(model.identifier, DreamRec)
    cold = [4, 5, 10, 11]
    before = model.identifier.vectors.detach().clone()
    seen = model.train(steps=80, lr=1e-2)
    assert np.mean([losses["loss"] for losses in seen[-20:]]) < 0.5 * seen[0]["loss"]
    scores = model.scores(torch.tensor([[0, 1, 2], [6, 7, 8]]))
    assert (scores[:, [3, 9]].diagonal() > scores.median(1).values).all()
    after = model.identifier.vectors.detach()
    # 80 steps of AdamW's weight decay of 0.01 at a rate of 0.01, and nothing else.
    torch.testing.assert_close(after[cold], before[cold] * (1 - 1e-4) ** 80)
    assert (after[:4] - before[:4]).abs().mean() > 0.1


# What keeps vectors from being all the same, and other options


def test_a_detached_target_learns_from_histories_alone(dataset: Dataset, tmp_path: Path) -> None:
    for table, learns in (("learned", True), ("detached", False)):
        model = made(dataset, tmp_path, table=table)
        model.gradients(model.losses(HISTORY, TARGET))
        assert isinstance(model.identifier, DreamRec)
        gradient = model.identifier.vectors.grad
        assert gradient is not None
        assert gradient[[1, 2, 6, 7]].abs().sum() > 0
        assert (gradient[8].abs().sum() > 0) == learns


def test_normalized_vectors_have_no_mean_and_unit_variance_whatever_is_added(dataset: Dataset, tmp_path: Path) -> None:
    model = made(dataset, tmp_path, table="normalized")
    assert isinstance(model.identifier, DreamRec)
    with torch.no_grad():
        model.identifier.vectors.mul_(0.01).add_(3)
    before = model.identifier.item_vectors().detach()
    torch.testing.assert_close(before.mean(0), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(before.var(0), torch.ones(8), atol=1e-3, rtol=0)
    model.add_new(4)
    torch.testing.assert_close(model.identifier.item_vectors()[:ITEMS].detach(), before)


def test_frozen_vectors_are_the_standardized_collaborative_ones(dataset: Dataset, tmp_path: Path) -> None:
    model = made(dataset, tmp_path, table="frozen", dim=6)
    assert isinstance(model.identifier, DreamRec)
    assert dataset.cf is not None
    expected = torch.from_numpy((dataset.cf - dataset.cf.mean(0)) / dataset.cf.std(0, ddof=1))
    torch.testing.assert_close(model.identifier.item_vectors(), expected, atol=1e-3, rtol=0)
    model.train(steps=2)
    torch.testing.assert_close(model.identifier.item_vectors(), expected, atol=1e-3, rtol=0)
    assert "vectors" not in model.identifier.state_dict()
    with pytest.raises(GenrecError, match="have 6 numbers"):
        made(dataset, tmp_path, table="frozen", dim=8)


def test_equal_frozen_vectors_are_ordered_by_chance(dataset: Dataset, tmp_path: Path) -> None:
    orders = set()
    for seed in range(3):
        model = made(dataset, tmp_path, table="frozen", dim=6, seed=seed)
        model.add_new(10)
        orders.add(tuple(model.scores(HISTORY)[0, ITEMS:].argsort().tolist()))
    assert len(orders) == 3


def test_added_items_are_noise_of_unit_variance_and_move_nobody(model: Model) -> None:
    assert isinstance(model.identifier, DreamRec)
    before = model.scores(HISTORY)
    model.add_new(1)
    one = model.scores(HISTORY)
    model.add_new(300)
    after = model.scores(HISTORY)
    torch.testing.assert_close(after[:, :ITEMS], before)
    torch.testing.assert_close(after[:, : ITEMS + 1], one)
    # 301 * 8 numbers: the standard errors of mean and variance are sqrt(1 / 2408) and sqrt(2 / 2408).
    assert model.identifier.added.mean().abs() < 4 * math.sqrt(1 / 2408)
    assert (model.identifier.added.var() - 1).abs() < 4 * math.sqrt(2 / 2408)
    assert set(model.identifier.state_dict()["vectors"].shape) == {ITEMS, 8}


def test_cosine_forgets_how_long_a_vector_is(dataset: Dataset, tmp_path: Path) -> None:
    for similarity, forgets in (("cosine", True), ("inner", False)):
        model = made(dataset, tmp_path, similarity=similarity)
        assert isinstance(model.identifier, DreamRec)
        before = model.scores(HISTORY)
        with torch.no_grad():
            model.identifier.vectors[9] *= 3
        assert torch.allclose(model.scores(HISTORY), before, atol=1e-5) == forgets


def test_under_cosine_an_item_is_nearest_to_its_own_vector(dataset: Dataset, tmp_path: Path) -> None:
    model = made(dataset, tmp_path, similarity="cosine")
    dreamrec = model.identifier
    assert isinstance(dreamrec, DreamRec)
    dreamrec._generate = lambda condition, guidances: dreamrec.diffusion.sample(  # type: ignore[method-assign]
        lambda x, step: dreamrec.vectors[None, TARGET], torch.randn(20, 1, 1, 8)
    )
    assert model.scores(HISTORY).argmax(1).tolist() == TARGET.tolist()


@pytest.mark.parametrize(
    "options", [{"dim": 7}, {"dim": 2}, {"condition_dropout": 1.5}, {"guidances": []}, {"guidances": [-1]}]
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(GenrecError, match="DreamRec needs"):
        DreamRec(**options)


@pytest.mark.parametrize("options", [{"steps": 0}, {"sampling_steps": 501}, {"sampling_steps": 0}, {"samples": 0}])
def test_impossible_diffusions_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(GenrecError, match="Diffusion needs"):
        Diffusion(**options)

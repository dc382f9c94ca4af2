from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genrec.assets.codes.diagnostics import collision_rate
from genrec.assets.codes.fitting import Checkpoint, Checkpoints, Objective, Training, Usage, batches, fit
from genrec.assets.codes.letter import Alignment, Diversity
from genrec.assets.codes.rqvae import RQVAE, Quantized, quantization_loss, quantize, reconstruction_loss

TINY = Training(steps=20, batch_size=32, evaluate_every=5, seed=0)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def objective() -> Objective:
    return Objective(RQVAE(8, levels=2, size=8, dim=4), "sum")


def checkpoint(step: int, collisions: float, reconstruction: float) -> Checkpoint:
    return Checkpoint(step, collisions, reconstruction, {})


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(95, 115)), min_size=1, max_size=12))
def test_the_kept_checkpoint_is_the_one_that_a_look_back_finds(course: list[tuple[int, int]]) -> None:
    kept = Checkpoints()
    seen = []
    for step, (collisions, reconstruction) in enumerate(course):
        new = checkpoint(step, collisions, reconstruction)
        kept.add(new)
        seen.append(new)
        limit = 1.05 * min(each.reconstruction for each in seen)
        good = [each for each in seen if each.reconstruction <= limit]
        assert kept.best == min(good, key=lambda each: (each.collisions, each.reconstruction, each.step))


def test_parts_are_weighted_and_add_up() -> None:
    torch.manual_seed(0)
    network = RQVAE(8, levels=2, size=20, dim=4)
    network.codebooks.data = drawn(2, 20, 4)
    text, rows = drawn(6, 8), torch.arange(6)
    cf, known = drawn(6, 4, seed=1).numpy(), np.ones(6, dtype=bool)
    regularizers = {"alignment": Alignment(cf, known, 4, "none"), "diversity": Diversity(50, seed=0)}
    parts, quantized = Objective(
        network, "mean", regularizers=regularizers, weights={"alignment": 0.5, "diversity": 0.0}
    )(text, rows)
    torch.testing.assert_close(parts["reconstruction"], (network.decoder(quantized.latents) - text).square().mean())
    torch.testing.assert_close(parts["alignment"], 0.5 * regularizers["alignment"](network.codebooks, quantized, rows))
    assert parts["diversity"] == 0


def test_letter_without_its_regularisers_is_tiger_with_means() -> None:
    torch.manual_seed(0)
    network = RQVAE(8, levels=4, size=20, dim=4)
    network.codebooks.data = drawn(4, 20, 4) * 0.3
    text, rows = drawn(30, 8), torch.arange(30)
    regularizers = {"alignment": Alignment(drawn(30, 4).numpy(), np.ones(30, dtype=bool), 4, "none")}
    letter = Objective(network, "mean", epsilon=0.0, regularizers=regularizers, weights={"alignment": 0.0})
    found = sum(letter(text, rows)[0].values())
    # TIGER's formula in per-element means, the quantisation averaged over its four levels, written out.
    latents = network.encoder(text)
    residual, expected = latents, torch.tensor(0.0)
    total = torch.zeros_like(latents)
    for codebook in network.codebooks:
        vectors = codebook[torch.cdist(residual, codebook).argmin(1)]
        expected = expected + (1 + 0.25) * (residual - vectors).square().mean() / 4
        residual, total = residual - vectors, total + vectors
    expected = expected + (network.decoder(total) - text).square().mean()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    tiger = Objective(network, "mean")(text, rows)[0]
    torch.testing.assert_close(sum(tiger.values()), expected, atol=1e-6, rtol=1e-6)


def test_training_is_repeatable_and_leaves_the_random_state() -> None:
    text = drawn(60, 8)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, _ = fit(objective, text, TINY, balanced=False)
    assert torch.equal(torch.rand(3), expected)
    second, _ = fit(objective, text, TINY, balanced=False)
    other, _ = fit(objective, text, replace(TINY, seed=1), balanced=False)
    assert torch.equal(first.codebooks, second.codebooks)
    assert not torch.allclose(first.codebooks, other.codebooks, atol=1e-3)


def test_what_training_tells_is_what_the_network_does() -> None:
    text = drawn(200, 8)
    network, trained = fit(objective, text, replace(TINY, steps=100), balanced=False)
    scaled = network.standardize(text)
    quantized = quantize(network.encoder(scaled), network.codebooks)
    error = reconstruction_loss(network.decoder(quantized.latents), scaled, "mean").item()
    assert trained["reconstruction"] == pytest.approx(error, rel=1e-5)
    assert trained["kept"] % 5 == 0
    assert trained["kept"] <= trained["steps"] <= 100
    assert trained["last"]["reconstruction"] < 0.8 * trained["first"]["reconstruction"]
    assert trained["first"].keys() == {"reconstruction", "quantization"}
    # 64 codes for 200 items.
    assert collision_rate(quantized.codes) >= 1 - 64 / 200


def test_it_stops_when_nothing_gets_better() -> None:
    # A learning rate of nothing: the first evaluation is never beaten.
    text = drawn(20, 8)
    idle = Training(steps=100, batch_size=32, lr=0.0, evaluate_every=5, patience=3, reset_every=0, seed=0)
    _, trained = fit(objective, text, idle, balanced=False)
    assert trained["kept"] == 5
    assert trained["steps"] == 5 + 3 * 5


def test_it_stops_when_nothing_is_left_to_learn() -> None:
    text = drawn(3, 8)
    network, trained = fit(objective, text, Training(steps=2000, evaluate_every=10, seed=0), balanced=False)
    assert trained["kept"] == trained["steps"] < 1000
    assert trained["reconstruction"] < 1e-3
    assert collision_rate(network.codes(text)) == 0


@given(n=st.integers(1, 50), size=st.integers(1, 20))
def test_an_epoch_holds_every_item_once(n: int, size: int) -> None:
    order = batches(n, size)
    for _ in range(2):
        epoch = [next(order) for _ in range(-(-n // size))]
        assert sorted(torch.cat(epoch).tolist()) == list(range(n))
        assert max(len(batch) for batch in epoch) <= size
        assert max(len(batch) for batch in epoch) - min(len(batch) for batch in epoch) <= 1


def used(codes: list[int]) -> Quantized:
    residuals = 100 + torch.arange(len(codes), dtype=torch.float32)[:, None, None].expand(-1, 1, 2)
    return Quantized(torch.tensor(codes)[:, None], residuals[:, 0], residuals, residuals)


def test_codes_unused_for_an_epoch_move_to_residuals() -> None:
    codebooks = torch.zeros(1, 4, 2)
    usage = Usage(codebooks, Training(reset_every=4))
    # Two batches are an epoch: code 2 was used in the one before the last, code 3 never.
    for step, codes in enumerate([[2, 2], [0, 0], [0, 2], [1, 0]], start=1):
        usage.update(step, used(codes), epoch=2)
        assert codebooks.any() == (step == 4)
    assert codebooks[0, :3].abs().sum() == 0
    assert codebooks[0, 3, 0] in (100, 101)


def test_codes_are_left_alone_unless_asked_for_and_before_an_epoch_is_over() -> None:
    for training, epoch in ((Training(reset_every=0), 1), (Training(reset_every=1), 5)):
        codebooks = torch.zeros(1, 4, 2)
        usage = Usage(codebooks, training)
        for step in range(1, 5):
            usage.update(step, used([0]), epoch)
        assert not codebooks.any()


def test_means_and_sums_are_the_same_errors() -> None:
    torch.manual_seed(0)
    network = RQVAE(8, levels=2, size=8, dim=4)
    text = drawn(5, 8)
    quantized = quantize(network.encoder(text), network.codebooks)
    summed = Objective(network, "sum")(text, torch.arange(5))[0]
    torch.testing.assert_close(summed["quantization"], quantization_loss(quantized, "mean") * 2 * 4)
    averaged = Objective(network, "mean")(text, torch.arange(5))[0]
    torch.testing.assert_close(summed["reconstruction"], averaged["reconstruction"] * 8)

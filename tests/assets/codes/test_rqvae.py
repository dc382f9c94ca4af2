from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genrec.assets.codes.codebooks import Initial, balance, initialize, kmeans
from genrec.assets.codes.rqvae import (
    RQVAE,
    Quantized,
    Reduction,
    quantization_loss,
    quantize,
    reconstruction_loss,
    rotated,
)

LEVELS, SIZE, DIM = 3, 5, 4


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(text: Tensor, levels: int = LEVELS, size: int = SIZE, balanced: bool = False) -> RQVAE:
    torch.manual_seed(0)
    network = RQVAE(text.shape[1], levels, size, DIM)
    network.fit_scale(text)
    initialize(network, text, balanced, seed=0)
    return network


@given(n=st.integers(1, 6), levels=st.integers(1, 4), seed=st.integers(0, 20))
def test_quantization_is_the_slow_search(n: int, levels: int, seed: int) -> None:
    latents, codebooks = drawn(n, DIM, seed=seed), drawn(levels, SIZE, DIM, seed=seed + 1)
    found = quantize(latents, codebooks)
    for row in range(n):
        residual = latents[row].clone()
        for level in range(levels):
            lengths = [(residual - vector).square().sum().item() for vector in codebooks[level]]
            code = int(np.argmin(lengths))
            assert found.codes[row, level] == code
            torch.testing.assert_close(found.residuals[row, level], residual)
            assert torch.equal(found.vectors[row, level], codebooks[level, code])
            residual = residual - codebooks[level, code]


def test_the_decoder_gets_the_sum_of_the_codes() -> None:
    codebooks = drawn(LEVELS, SIZE, DIM, seed=1)
    found = quantize(drawn(7, DIM), codebooks)
    expected = sum(codebooks[level, found.codes[:, level]] for level in range(LEVELS))
    torch.testing.assert_close(found.latents, expected)


@given(dim=st.integers(2, 6), seed=st.integers(0, 50))
def test_a_rotation_turns_the_gradient_as_it_turns_the_latents(dim: int, seed: int) -> None:
    source, target, grad = drawn(3, dim, seed=seed).double().unbind()
    source.requires_grad_()
    rotated(source[None], target[None])[0].backward(grad)

    # The paper's matrix, written out: the rotation in the plane of both, the rest stays.
    one, two = source.detach() / source.detach().norm(), target / target.norm()
    middle = (one + two) / (one + two).norm()
    matrix = torch.eye(dim, dtype=torch.float64) - 2 * middle.outer(middle) + 2 * two.outer(one)
    matrix = matrix * target.norm() / source.detach().norm()
    torch.testing.assert_close(matrix @ source.detach(), target)
    torch.testing.assert_close(source.grad, matrix.T @ grad)
    # A gradient has the angle to the latent that it has to the code.
    torch.testing.assert_close(source.grad @ one, grad @ two * target.norm() / source.detach().norm())


def test_a_rotation_is_that_of_the_library() -> None:
    library = pytest.importorskip("vector_quantize_pytorch.vector_quantize_pytorch")
    source, target = drawn(20, 5), drawn(20, 5, seed=1)
    torch.testing.assert_close(rotated(source, target), library.rotate_to(source, target))


def test_the_estimator_moves_gradients_and_nothing_else() -> None:
    codebooks, weight, found = drawn(LEVELS, SIZE, DIM, seed=1), drawn(7, DIM, seed=2), {}
    for gradient in ("straight_through", "rotation"):
        latents = drawn(7, DIM).requires_grad_()
        quantized = quantize(latents, codebooks, gradient=gradient)
        (quantized.latents * weight).sum().backward()
        found[gradient] = quantized.latents.detach(), latents.grad

    torch.testing.assert_close(found["straight_through"][0], found["rotation"][0])
    assert torch.equal(found["straight_through"][1], weight)
    turned = found["rotation"][1]
    assert turned is not None
    assert not torch.allclose(turned, weight, atol=0.1)
    # Stretched by the ratio of the lengths.
    stretched = found["rotation"][0].norm(dim=1) / drawn(7, DIM).norm(dim=1)
    torch.testing.assert_close(turned.norm(dim=1), weight.norm(dim=1) * stretched)


@pytest.mark.parametrize(
    ("source", "target"), [([0.0, 0.0], [1.0, 0.0]), ([1.0, 0.0], [0.0, 0.0]), ([1.0, 2.0], [-1.0, -2.0])]
)
def test_what_has_no_direction_has_a_gradient_that_is_a_number(source: list[float], target: list[float]) -> None:
    latent = torch.tensor([source], requires_grad=True)
    moved = rotated(latent, torch.tensor([target]))
    moved.sum().backward()
    assert torch.isfinite(moved).all()
    assert latent.grad is not None
    assert torch.isfinite(latent.grad).all()


def test_residuals_shrink_from_level_to_level() -> None:
    text = drawn(300, 10)
    model = network(text, size=16)
    norms = quantize(model.latents(text), model.codebooks).residuals.square().sum(2).mean(0)
    assert (norms.diff() < 0).all()


def by_hand() -> Quantized:
    """Two items, one level of two numbers each; the second is explained exactly."""
    residuals, vectors = torch.tensor([[[1.0, 2.0]], [[0.0, 1.0]]]), torch.tensor([[[0.0, 4.0]], [[0.0, 1.0]]])
    return Quantized(torch.zeros(2, 1, dtype=torch.long), vectors[:, 0], residuals, vectors)


@pytest.mark.parametrize(("reduction", "divisor"), [("sum", 2), ("mean", 2 * 2)])
def test_losses_by_hand(reduction: Reduction, divisor: int) -> None:
    error = (1 - 0) ** 2 + (2 - 4) ** 2
    assert quantization_loss(by_hand(), reduction).item() == pytest.approx((1 + 0.25) * error / divisor)
    decoded, text = torch.tensor([[1.0, 2.0], [3.0, 3.0]]), torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert reconstruction_loss(decoded, text, reduction).item() == pytest.approx((1**2 + 2**2 + 1**2) / divisor)


def test_sums_weigh_quantization_as_means_of_features_and_levels_do_not() -> None:
    quantized = quantize(drawn(7, DIM), drawn(LEVELS, SIZE, DIM, seed=1))
    summed, averaged = quantization_loss(quantized, "sum"), quantization_loss(quantized, "mean")
    torch.testing.assert_close(summed, averaged * LEVELS * DIM)


def gradients(residual_grad: bool) -> tuple[Tensor, Quantized, Tensor, Tensor]:
    latents, codebooks = drawn(6, DIM).requires_grad_(), drawn(LEVELS, SIZE, DIM, seed=1).requires_grad_()
    quantized = quantize(latents, codebooks, residual_grad)
    target = drawn(6, DIM, seed=2)
    (reconstruction_loss(quantized.latents, target, "sum") + quantization_loss(quantized, "sum")).backward()
    assert latents.grad is not None
    assert codebooks.grad is not None
    return latents.grad, quantized, codebooks.grad, 2 * (quantized.latents.detach() - target) / 6


def test_the_encoder_learns_from_reconstruction_and_the_first_level_alone() -> None:
    gradient, quantized, _, of_reconstruction = gradients(residual_grad=False)
    left = (quantized.residuals - quantized.vectors).detach()
    torch.testing.assert_close(gradient, of_reconstruction + 2 * 0.25 * left[:, 0] / 6)


def test_on_request_it_learns_from_all_levels() -> None:
    gradient, quantized, _, of_reconstruction = gradients(residual_grad=True)
    left = (quantized.residuals - quantized.vectors).detach()
    torch.testing.assert_close(gradient, of_reconstruction + 2 * 0.25 * left.sum(1) / 6)


@pytest.mark.parametrize("residual_grad", [False, True])
def test_a_code_learns_from_its_own_items_alone(residual_grad: bool) -> None:
    _, quantized, gradient, _ = gradients(residual_grad)
    left = (quantized.residuals - quantized.vectors).detach()
    for level in range(LEVELS):
        for code in range(SIZE):
            users = quantized.codes[:, level] == code
            torch.testing.assert_close(gradient[level, code], -2 * left[users, level].sum(0) / 6)
    assert any(not len(gradient[level, code].nonzero()) for level in range(LEVELS) for code in range(SIZE))


def test_the_last_level_can_be_shared_out_evenly() -> None:
    latents, codebooks = drawn(40, DIM), drawn(LEVELS, SIZE, DIM, seed=1) * 0.1
    nearest, shared = quantize(latents, codebooks).codes, quantize(latents, codebooks, epsilon=0.01).codes
    assert torch.equal(nearest[:, :-1], shared[:, :-1])
    counts = [codes[:, -1].bincount(minlength=SIZE) for codes in (nearest, shared)]
    assert counts[0].max() > counts[1].max()
    assert counts[1].max() <= 40 / SIZE + 2


def test_features_are_standardised_and_constant_ones_left_alone() -> None:
    text = drawn(50, 3) * torch.tensor([5.0, 0.01, 0.0]) + torch.tensor([1.0, 2.0, 3.0])
    model = RQVAE(3, 1, 2, DIM)
    model.fit_scale(text)
    scaled = model.standardize(text)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-4, rtol=0)
    # A new item that differs in the constant feature is not thrown out of the world.
    torch.testing.assert_close(model.standardize(torch.tensor([[1.0, 2.0, 4.0]]))[0, 2], torch.tensor(1.0))


def test_a_network_made_of_its_arrays_gives_the_same_codes() -> None:
    text = drawn(30, 6)
    model = network(text)
    loaded = RQVAE.load({**model.arrays(), "codes": np.zeros(3)})
    assert torch.equal(loaded.codes(text), model.codes(text))
    torch.testing.assert_close(loaded.latents(text), model.latents(text))
    assert len(model.codes(text).unique(dim=0)) > 10


@pytest.mark.parametrize("balanced", [False, True])
def test_codebooks_begin_in_the_middle_of_what_is_left(balanced: bool) -> None:
    text = drawn(200, 6)
    model = network(text, size=8, balanced=balanced)
    quantized = quantize(model.latents(text), model.codebooks)
    for level in range(LEVELS):
        codes = quantized.codes[:, level]
        assert len(codes.unique()) == 8
        for code in range(8):
            mean = quantized.residuals[codes == code, level].mean(0)
            # K-means stops a little before its fixed point; balanced centres are means of about these items.
            distance = (mean - model.codebooks[level, code]).norm()
            assert distance < (0.5 if balanced else 0.02) * quantized.residuals[:, level].norm(dim=1).mean()


@pytest.mark.parametrize("initial", ["items", "uniform"])
@pytest.mark.parametrize("count", [200, 6])
def test_codebooks_begin_at_items_or_anywhere(initial: Initial, count: int) -> None:
    text = drawn(count, 6)
    one, two, other = (network(text, size=8) for _ in range(3))
    for model, seed in ((one, 0), (two, 0), (other, 1)):
        initialize(model, text, False, seed, initial)
    assert torch.equal(one.codebooks, two.codebooks)
    assert not torch.equal(one.codebooks, other.codebooks)
    if initial == "uniform":
        assert one.codebooks.abs().max() <= 1 / 8
        assert one.codebooks.std() > 1 / 8 / 3
        return
    residuals = quantize(one.latents(text), one.codebooks).residuals
    for level, codebook in enumerate(one.codebooks):
        nearest = torch.cdist(codebook, residuals[:, level]).min(1)
        assert nearest.values.max() < 1e-3
        # Nobody is drawn twice where there are enough.
        assert count < 8 or len(nearest.indices.unique()) == 8


def test_k_means_of_few_points_uses_them_all() -> None:
    points = np.repeat(np.arange(3, dtype=np.float32)[:, None], 4, axis=0)
    centers = kmeans(points, 8, seed=0)
    assert centers.shape == (8, 1)
    assert centers.dtype == np.float32
    assert set(centers[:, 0].tolist()) == {0, 1, 2}


def test_balanced_clusters_stay_within_half_and_twice_the_average() -> None:
    # Half of the points lie on a heap, to which plain k-means gives few centres.
    points = torch.cat([drawn(1000, DIM) * 0.3, drawn(1000, DIM, seed=1) * 2])
    plain = torch.from_numpy(kmeans(points.numpy(), 20, seed=0))
    even = balance(points, plain)

    def sizes(centers: Tensor) -> Tensor:
        return quantize(points, centers[None], epsilon=0.003).codes[:, 0].bincount(minlength=20)

    nearest = quantize(points, plain[None]).codes[:, 0].bincount(minlength=20)
    assert nearest.max() > 2 * 2000 / 20
    assert sizes(even).min() >= 2000 / 20 / 2
    assert sizes(even).max() <= 2000 / 20 * 2

"""The diffusion by itself, against the papers' formulas written out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from genrec_baselines.diffusion import Denoiser, Diffusion, betas


@pytest.mark.parametrize("schedule", ["exp", "linear", "cosine", "sqrt"])
@pytest.mark.parametrize("steps", [2, 50, 500, 2000])
def test_every_schedule_keeps_variances_between_none_and_all(schedule: Any, steps: int) -> None:
    beta = betas(schedule, steps)
    assert beta.shape == (steps,)
    assert ((beta > 0) & (beta < 1)).all()


@pytest.mark.parametrize(
    ("schedule", "first", "last"),
    [("exp", 0.999, 0.05), ("linear", 0.999, 0.01), ("cosine", 0.999, 0.05), ("sqrt", 0.96, 0.05)],
)
def test_a_schedule_begins_with_the_vector_and_ends_with_noise(schedule: Any, first: float, last: float) -> None:
    remains = Diffusion(500, schedule).alpha_bar
    assert remains[0] > first
    assert 0 < remains[-1] < last
    assert (remains.diff() < 0).all()


def test_what_remains_under_the_linear_schedule() -> None:
    # The logarithm of 500 factors 1 - beta whose betas are 0.01005 on average; the second term of its series is small.
    assert Diffusion(500, "linear").alpha_bar[-1].item() == pytest.approx(math.exp(-500 * 0.01005), rel=0.05)


def test_schedules_by_hand() -> None:
    exponent = 0.1 / 4 + (1 + 2 / 3 * 8) * (10 - 0.1) / (2 * 4**2)
    assert betas("exp", 4)[2].item() == pytest.approx(1 - math.exp(-exponent))
    assert betas("linear", 3).tolist() == pytest.approx([1e-4, (1e-4 + 0.02) / 2, 0.02])
    begins, ends = (math.cos((place / 4 + 0.008) / 1.008 * math.pi / 2) ** 2 for place in (1, 2))
    assert betas("cosine", 4)[1].item() == pytest.approx(1 - ends / begins)
    assert betas("cosine", 4)[3].item() == 0.9999
    begins, ends = (1 - math.sqrt(place / 4 + 1e-4) for place in (1, 2))
    assert betas("sqrt", 4)[1].item() == pytest.approx(1 - ends / begins)
    assert betas("sqrt", 4)[3].item() == 0.999


@pytest.mark.parametrize("schedule", ["exp", "linear", "cosine", "sqrt"])
def test_noise_keeps_the_variance_of_one(schedule: Any) -> None:
    diffusion, rng = Diffusion(20, schedule), torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 20, 20_000, generator=rng)
    variance = diffusion.noised(clean, torch.arange(20), noise).var(1)
    # The standard error of a variance of 1 over n draws is sqrt(2 / n); 20 of them are looked at.
    assert (variance - 1).abs().max() < 4 * math.sqrt(2 / 20_000)


@pytest.mark.parametrize("sampling_steps", [None, 7, 2, 1])
def test_a_denoiser_that_knows_the_answer_gives_it(sampling_steps: int | None) -> None:
    diffusion = Diffusion(50, sampling_steps=sampling_steps)
    answer = torch.randn(4, 8)
    found = diffusion.sample(lambda x, step: answer, torch.randn(len(diffusion.path), 1, 8))
    assert torch.equal(found, answer)


def sampled_by_the_book(denoise: Callable[[Tensor, int], Tensor], beta: Tensor, noise: Tensor) -> Tensor:
    """Every step of the reverse process as the paper writes it."""
    alpha, x = 1 - beta, noise[0]
    for n in range(len(beta) - 1, -1, -1):
        bar = alpha[: n + 1].prod()
        bar_before = alpha[:n].prod()
        x0 = denoise(x, n)
        x = beta[n] * bar_before.sqrt() / (1 - bar) * x0 + (1 - bar_before) * alpha[n].sqrt() / (1 - bar) * x
        if n > 0:
            x = x + (beta[n] * (1 - bar_before) / (1 - bar)).sqrt() * noise[len(beta) - n]
    return x


@pytest.mark.parametrize("schedule", ["exp", "linear", "cosine", "sqrt"])
def test_sampling_follows_the_book(schedule: Any) -> None:
    torch.manual_seed(0)
    noise, matrix = torch.randn(30, 3, 4, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64) / 4

    def denoise(x: Tensor, step: int) -> Tensor:
        return torch.tanh(x @ matrix) + step / 30

    found = Diffusion(30, schedule).sample(denoise, noise)
    torch.testing.assert_close(found, sampled_by_the_book(denoise, betas(schedule, 30), noise))


def test_fewer_steps_are_spread_over_all_and_cost_less() -> None:
    calls: list[int] = []

    def denoise(x: Tensor, step: int) -> Tensor:
        calls.append(step)
        return x

    Diffusion(500, sampling_steps=5).sample(denoise, torch.randn(5, 1, 4))
    # 499 * (1, 3/4, 1/2, 1/4, 0)
    assert calls == [499, 374, 250, 125, 0]
    assert Diffusion(500).path == list(range(499, -1, -1))


@pytest.mark.parametrize(("sampling_steps", "lost"), [(None, 0.05), (100, 0.15)])
def test_sampling_gives_the_distribution_that_a_perfect_denoiser_knows(sampling_steps: int | None, lost: float) -> None:
    """That of normal numbers, whose mean given a noisy one is known. Fewer steps lose some of the variance."""
    mean, variance, rng = 1.5, 0.25, torch.Generator().manual_seed(0)
    diffusion = Diffusion(500, sampling_steps=sampling_steps)

    def denoise(x: Tensor, step: int) -> Tensor:
        bar = float(diffusion.alpha_bar[step])
        return mean + bar**0.5 * variance * (x - bar**0.5 * mean) / (bar * variance + 1 - bar)

    found = diffusion.sample(denoise, torch.randn(len(diffusion.path), 20_000, 1, generator=rng))
    # The standard errors over 20,000 draws are 0.5 / sqrt(20,000) = 0.0035 and 1 % of the variance.
    assert found.mean().item() == pytest.approx(mean, abs=4 * 0.0035)
    assert found.var().item() == pytest.approx(variance, rel=lost)


def test_the_step_is_told_by_sines_and_cosines() -> None:
    torch.manual_seed(0)
    denoiser = Denoiser(8, "mlp1")
    frequencies = [math.exp(-math.log(1e4) * j / 3) for j in range(4)]
    told = torch.tensor([math.sin(7 * f) for f in frequencies] + [math.cos(7 * f) for f in frequencies])
    noisy, condition = torch.randn(2, 3, 8)
    time = denoiser.step_mlp(told).expand(3, -1)
    expected = denoiser.mlp(torch.cat([noisy, condition, time], 1))
    torch.testing.assert_close(denoiser(noisy, condition, torch.tensor([7, 7, 7])), expected)
    assert [tuple(p.shape) for p in Denoiser(8, "mlp2").mlp.parameters()] == [(16, 24), (16,), (8, 16), (8,)]

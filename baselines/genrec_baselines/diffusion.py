"""A guided diffusion of vectors: noise that grows step by step, and the network that takes it away.

Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020, arXiv 2006.11239; the schedules and the network are
those of DreamRec's reference implementation, github.com/YangZhengyi98/DreamRec.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from genrec.errors import GenrecError

Schedule = Literal["exp", "linear", "cosine", "sqrt"]
MOST_STEPS, MOST_SAMPLES = 100_000, 1_000
"""More than anybody takes; noise is kept for each."""


def betas(schedule: Schedule, steps: int) -> Tensor:
    """The variances of the forward process, float64 [T], as the reference has them.

    Args:
        schedule: "exp" preserves the variance (Song et al., 2021, between 0.1 and 10), "linear" is Ho et al., 2020,
            "cosine" Nichol and Dhariwal, 2021, "sqrt" Li et al., 2022.
        steps: T.
    """
    if schedule == "linear":
        return torch.linspace(1e-4, 0.02, steps, dtype=torch.float64)
    if schedule == "exp":
        place = torch.linspace(1, 2 * steps + 1, steps, dtype=torch.float64)
        return 1 - torch.exp(-0.1 / steps - place * (10 - 0.1) / (2 * steps**2))
    time = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    if schedule == "cosine":
        remains = torch.cos((time + 0.008) / 1.008 * math.pi / 2).square()
        return (1 - remains[1:] / remains[:-1]).clamp(1e-4, 0.9999)
    remains = 1 - torch.sqrt(time + 1e-4)
    return (1 - remains[1:] / remains[:-1]).clamp(max=0.999)


class Diffusion:
    """Adds noise to vectors in T steps, and takes it away again.

    Args:
        steps: T.
        schedule: how the noise grows, see `betas`.
        sampling_steps: take so many evenly spaced steps when sampling (Nichol and Dhariwal, "Improved Denoising
            Diffusion Probabilistic Models", 2021, Section 4); None takes all. Few steps make samples less varied.
        samples: R, vectors that are sampled for a user; their mean ranks.

    Raises:
        GenrecError: if a number makes no sense.
    """

    def __init__(
        self, steps: int = 500, schedule: Schedule = "exp", sampling_steps: int | None = None, samples: int = 1
    ) -> None:
        taken = steps if sampling_steps is None else sampling_steps
        if not 1 <= taken <= steps <= MOST_STEPS or not 1 <= samples <= MOST_SAMPLES:
            raise GenrecError(
                f"Diffusion needs 1 <= sampling_steps <= steps <= {MOST_STEPS:,} and 1 <= samples <= {MOST_SAMPLES:,}, "
                f"got steps={steps}, sampling_steps={sampling_steps}, samples={samples}"
            )
        self.steps = steps
        self.samples = samples
        # Not part of a module, which a trainer may turn into half precision: T small differences must stay exact.
        self.alpha_bar = (1 - betas(schedule, steps)).cumprod(0)
        self._there: dict[torch.device, Tensor] = {}
        path = torch.linspace(steps - 1, 0, taken, dtype=torch.float64)
        self.path: list[int] = path.round().long().tolist()

    def noised(self, clean: Tensor, step: Tensor, noise: Tensor) -> Tensor:
        """The vectors [B, d] after steps [B] of the forward process."""
        # Brought to a device once, not in every step.
        if step.device not in self._there:
            self._there[step.device] = self.alpha_bar.to(step.device, torch.float32)
        remains = self._there[step.device][step][:, None]
        return remains.sqrt() * clean + (1 - remains).sqrt() * noise

    def sample(self, denoise: Callable[[Tensor, int], Tensor], noise: Tensor) -> Tensor:
        """Go back from pure noise, by the posterior of the forward process (Ho et al., 2020, Eq. 7).

        Args:
            denoise: predicts the clean vectors [..., d] from noisy ones and the step that they are at.
            noise: [len(path), ..., d] standard normal; the first is the beginning, the others follow a step each.

        Returns:
            [..., d], the last prediction.
        """
        x, remains = noise[0], self.alpha_bar.tolist()
        for draw, (step, following) in enumerate(pairwise(self.path), start=1):
            here, there = remains[step], remains[following]
            alpha = here / there
            mean = ((1 - alpha) * there**0.5 * denoise(x, step) + (1 - there) * alpha**0.5 * x) / (1 - here)
            x = mean + ((1 - alpha) * (1 - there) / (1 - here)) ** 0.5 * noise[draw]
        return denoise(x, self.path[-1])


class Denoiser(nn.Module):
    """Predicts a clean vector from a noisy one, a condition and the step.

    Args:
        dim: d, the size of all three.
        layers: "mlp1" is one linear layer, as in all published runs; "mlp2" two with GELU between them.
    """

    frequencies: Tensor

    def __init__(self, dim: int, layers: Literal["mlp1", "mlp2"]) -> None:
        super().__init__()
        self.step_mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.mlp: nn.Module = nn.Linear(3 * dim, dim)
        if layers == "mlp2":
            self.mlp = nn.Sequential(nn.Linear(3 * dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        half = dim // 2
        frequencies = torch.exp(-math.log(1e4) / (half - 1) * torch.arange(half))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, noisy: Tensor, condition: Tensor, step: Tensor) -> Tensor:
        """[..., d] from noisy [..., d], condition [..., d] and step [...]; the shapes are broadcast."""
        angles = step[..., None] * self.frequencies
        time = self.step_mlp(torch.cat([angles.sin(), angles.cos()], -1))
        return self.mlp(torch.cat(torch.broadcast_tensors(noisy, condition, time), -1))

"""Training a residual-quantised auto-encoder: what is minimised, for how long, and which checkpoint is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from genrec import devices
from genrec.assets.codes.codebooks import Initial, initialize
from genrec.assets.codes.diagnostics import collision_rate
from genrec.assets.codes.fitted import drawn
from genrec.assets.codes.rqvae import (
    CHUNK,
    RQVAE,
    Gradient,
    Quantized,
    Reduction,
    quantization_loss,
    quantize,
    reconstruction_loss,
)
from genrec.errors import at_least
from genrec.seeds import number

WEIGHT_DECAY = 1e-4
CLIP = 1.0
TOLERANCE = 1.05
"""A checkpoint may be kept whose reconstruction error is at most this many times the best."""
PERFECT = 1e-3
"""Training is over where no items collide and less than this share of the variance is lost: a tiny catalogue."""


@dataclass(frozen=True)
class Training:
    """How a quantiser is trained, with AdamW.

    Args:
        steps: at most. Papers take 20,000 and more; a few thousand, some minutes on a CPU, find a working set of codes.
        batch_size: items of a step.
        items: at most so many, drawn at random, are trained on and looked at; all get codes.
        lr: learning rate.
        evaluate_every: steps between evaluations.
        patience: evaluations without a better checkpoint before it stops.
        reset_every: steps between replacing the codes that went unused for an epoch by random residuals; 0 is never, as
            in the papers, and costs half of the codes of the first level.
        seed: of weights, first centres and order; None is the run's.
        initial: where codebooks begin: see `genrec.assets.codes.codebooks.initialize`.
        gradient: how the encoder learns across the choice of codes: see `genrec.assets.codes.rqvae.quantize`.
    """

    steps: int = 4_000
    batch_size: int = 1024
    items: int = 200_000
    lr: float = 1e-3
    evaluate_every: int = 100
    patience: int = 20
    reset_every: int = 100
    seed: int | None = None
    initial: Initial = "kmeans"
    gradient: Gradient = "straight_through"

    def __post_init__(self) -> None:
        at_least(1, "Training", items=self.items)

    def sample(self, rows: np.ndarray) -> np.ndarray:
        """Those of rows [N], rising, that are trained on."""
        return drawn(rows, self.items, number(self.seed))


class Objective(nn.Module):
    """The loss of a batch, in weighted parts.

    Args:
        network: what is trained.
        reduction: how squared errors are added up.
        residual_grad: see `quantize`.
        epsilon: see `quantize`.
        regularizers: further parts, called with the codebooks, the quantised batch and its rows.
        weights: of the regularisers, by the same names.
        gradient: see `quantize`.
    """

    def __init__(
        self,
        network: RQVAE,
        reduction: Reduction,
        residual_grad: bool = False,
        epsilon: float = 0.0,
        regularizers: Mapping[str, nn.Module] | None = None,
        weights: Mapping[str, float] | None = None,
        gradient: Gradient = "straight_through",
    ) -> None:
        super().__init__()
        self.network = network
        self.reduction = reduction
        self.residual_grad = residual_grad
        self.epsilon = epsilon
        self.gradient: Gradient = gradient
        self.regularizers = nn.ModuleDict(regularizers)
        self.weights = weights or {}

    def forward(self, text: Tensor, rows: Tensor) -> tuple[dict[str, Tensor], Quantized]:
        """Weighted parts whose sum is minimised, for standardised embeddings [B, text_dim] of item rows [B]."""
        network = self.network
        latents = network.encoder(text)
        quantized = quantize(latents, network.codebooks, self.residual_grad, self.epsilon, self.gradient)
        parts = {
            "reconstruction": reconstruction_loss(network.decoder(quantized.latents), text, self.reduction),
            "quantization": quantization_loss(quantized, self.reduction),
        }
        for name, regularizer in self.regularizers.items():
            parts[name] = self.weights[name] * regularizer(network.codebooks, quantized, rows)
        return parts, quantized


class Checkpoint(NamedTuple):
    """The objective's state at a step, and what it is judged by."""

    step: int
    collisions: float
    reconstruction: float
    state: dict[str, Any]


class Checkpoints:
    """Keeps the checkpoint of the lowest collision rate among those that reconstruct about as well as the best.

    What "the best" is shows at the end only: every checkpoint stays that no other beats in both.
    """

    def __init__(self) -> None:
        self._front: list[Checkpoint] = []

    def add(self, new: Checkpoint) -> None:
        """Consider a checkpoint."""
        front = [*self._front, new]
        limit = TOLERANCE * min(each.reconstruction for each in front)
        self._front = []
        for each in sorted(front, key=lambda each: (each.collisions, each.reconstruction, each.step)):
            beaten = self._front and self._front[-1].reconstruction <= each.reconstruction
            if each.reconstruction <= limit and not beaten:
                self._front.append(each)

    @property
    def best(self) -> Checkpoint:
        """The one to keep, as far as is known."""
        return self._front[0]


def fit(
    make: Callable[[], Objective], text: Tensor, training: Training, balanced: bool
) -> tuple[RQVAE, dict[str, Any]]:
    """Make an objective, initialise its network and train it, on a GPU if there is one.

    The caller's random state is left alone.

    Args:
        make: creates the parameters.
        text: [n, text_dim], embeddings as they come.
        training: for how long, and the seed of everything random.
        balanced: see `initialize`.

    Returns:
        The network, on the CPU, and what `train` tells.
    """
    device = devices.gpu() or torch.device("cpu")
    seed = number(training.seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        objective, text = make().to(device), text.to(device)
        network = objective.network
        network.fit_scale(text)
        initialize(network, text, balanced, seed, training.initial)
        trained = train(objective, network.standardize(text), training)
    return network.cpu().eval(), trained


def train(objective: Objective, text: Tensor, training: Training) -> dict[str, Any]:
    """Minimise an objective, and leave it in the state of its best checkpoint.

    Args:
        objective: its codebooks are initialised already.
        text: [n, text_dim], standardised, on the objective's device.
        training: for how long.

    Returns:
        As json: the ``steps`` that were taken, the step that was ``kept``, its ``reconstruction`` error (mean square of
        a standardised feature: the share that was lost), and the loss's weighted parts at the ``first`` and ``last``
        step.
    """
    optimizer = torch.optim.AdamW(objective.parameters(), training.lr, weight_decay=WEIGHT_DECAY)
    checkpoints, usage = Checkpoints(), Usage(objective.network.codebooks, training)
    order = batches(len(text), training.batch_size)
    for step in range(1, training.steps + 1):
        rows = next(order).to(text.device)
        parts, quantized = objective(text[rows], rows)
        optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(objective.parameters(), CLIP)
        optimizer.step()
        usage.update(step, quantized, epoch=-(-len(text) // training.batch_size))
        last = {name: part.item() for name, part in parts.items()}
        if step == 1:
            first = last
        if step % training.evaluate_every == 0 or step == training.steps:
            checkpoints.add(evaluate(objective, text, step))
            best = checkpoints.best
            stale = step - best.step >= training.patience * training.evaluate_every
            if stale or (best.collisions == 0 and best.reconstruction < PERFECT):
                break
    objective.load_state_dict(best.state)
    return {"steps": step, "kept": best.step, "reconstruction": best.reconstruction, "first": first, "last": last}


def batches(n: int, size: int) -> Iterator[Tensor]:
    """Rows 0..n-1 in a new order every epoch, without end, in batches of about the same size, at most ``size``."""
    while True:
        yield from torch.randperm(n).tensor_split(-(-n // size))


@torch.no_grad()
def evaluate(objective: Objective, text: Tensor, step: int) -> Checkpoint:
    """Nearest codes and reconstruction of all items [n, text_dim], standardised."""
    network, codes, error = objective.network, [], 0.0
    for part in text.split(CHUNK):
        quantized = quantize(network.encoder(part), network.codebooks)
        lost = reconstruction_loss(network.decoder(quantized.latents), part, "mean")
        error += lost.item() * (len(part) / len(text))
        codes.append(quantized.codes)
    return Checkpoint(step, collision_rate(torch.cat(codes)), error, copy.deepcopy(objective.state_dict()))


class Usage:
    """Which codes are used, and new places for those that are not."""

    def __init__(self, codebooks: Tensor, training: Training) -> None:
        self.codebooks = codebooks
        self.every = training.reset_every
        self.last_used = torch.zeros(codebooks.shape[:2], dtype=torch.long, device=codebooks.device)

    @torch.no_grad()
    def update(self, step: int, quantized: Quantized, epoch: int) -> None:
        """Note a batch's codes; every so often put unused codes on random residuals of the batch."""
        for level, codes in enumerate(quantized.codes.T):
            self.last_used[level, codes] = step
        if not self.every or step % self.every or step < epoch:
            return
        for level, unused in enumerate(self.last_used <= step - epoch):
            residuals = quantized.residuals[:, level]
            chosen = torch.randint(len(residuals), (int(unused.sum()),), device=residuals.device)
            self.codebooks[level, unused] = residuals[chosen].detach()
            self.last_used[level, unused] = step

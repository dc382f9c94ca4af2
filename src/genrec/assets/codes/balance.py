"""Sharing points out evenly over codes: by optimal transport, or by assignment."""

from __future__ import annotations

import numpy as np
import scipy
import torch
from torch import Tensor

ROUNDS = 50
SMALLEST = -700.0
"""exp of this is still a normal float64."""


def distances(points: Tensor, centers: Tensor) -> Tensor:
    """Squared Euclidean distances [..., n, k] of points [..., n, d] and centers [k, d]."""
    # Problem by problem, not as one large product: in such costs ties are many, and the last bit decides them.
    products = 2 * points @ centers.T.expand(*points.shape[:-2], -1, -1)
    return points.square().sum(-1, keepdim=True) - products + centers.square().sum(1)


def sinkhorn(cost: Tensor, epsilon: float, rounds: int = ROUNDS) -> Tensor:
    """The transport plan that moves n points to k codes so that every code gets n / k of them.

    As in the code of LETTER (github.com/HonghuiBao2000/LETTER, ``RQ-VAE/models/layers.py``): costs are stretched to
    [-1, 1] over the batch, and rows and columns normalised in turn, columns last.

    Args:
        cost: [..., n, k] distances; leading dimensions are problems of their own.
        epsilon: how soft the plan is, in stretched costs.
        rounds: of normalisation.

    Returns:
        [..., n, k] float64, columns that sum to n / k.
    """
    cost = cost.double()
    low, high = cost.amin((-2, -1), keepdim=True), cost.amax((-2, -1), keepdim=True)
    amplitude = high - (high + low) / 2 + 1e-5
    # A constant per row changes no plan, and keeps the exponentials below 1.
    exponent = -(cost - cost.amin(-1, keepdim=True)) / amplitude / epsilon
    kernel = exponent.clamp(min=SMALLEST).exp()
    n, k = cost.shape[-2:]
    # The plan is rows * kernel * columns: two vectors are cheaper to normalise than the matrix.
    columns = torch.ones((*cost.shape[:-2], 1, k), dtype=torch.float64, device=cost.device)
    for _ in range(rounds):
        rows = 1 / (columns @ kernel.mT)
        columns = (n / k) / (rows @ kernel)
    return rows.mT * kernel * columns


def balanced_clusters(points: np.ndarray, k: int, rounds: int, rng: np.random.Generator) -> np.ndarray:
    """K-means into clusters of about the same size: none has more than ceil(n / k) points, none fewer than two.

    Every step is an exact assignment problem: each centre is offered ceil(n / k) times. For 256 points and 10 clusters
    that is 26 times, so that every cluster has 22 to 26 points.

    Args:
        points: [n, d], at least two, at most some hundreds.
        k: clusters; fewer where that many could leave one with a single point.
        rounds: Lloyd steps.
        rng: draws the first centres among the points.

    Returns:
        int64 [n], the cluster of every point.
    """
    n = len(points)
    k = next(fewer for fewer in range(k, 0, -1) if (fewer - 1) * -(-n // fewer) + 2 <= n)
    seats = -(-n // k)
    centers = points[rng.choice(n, k, replace=False)]
    for _ in range(rounds):
        cost = np.square(points).sum(1, keepdims=True) - 2 * points @ centers.T + np.square(centers).sum(1)
        _, places = scipy.optimize.linear_sum_assignment(cost.repeat(seats, axis=1))
        labels = places // seats
        centers = np.stack([points[labels == cluster].mean(0) for cluster in range(k)])
    return labels


def share_out(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """A centre for every point, so that each gets the same number of points, or one more: int64 [n].

    A stable matching (Gale and Shapley, 1962): a point asks its nearest centre, a full centre sends away who is
    farthest, and he asks the next. First all centres fill up to the same number, then those left over get a seat each.

    Args:
        points: [n, d].
        centres: [k, d].
    """
    n, k = len(points), len(centres)
    labels = np.full(n, -1)
    for seats in (n // k, 1):
        left = np.flatnonzero(labels < 0)
        if seats and len(left):
            labels[left] = _matched(distances(torch.from_numpy(points[left]), torch.from_numpy(centres)).numpy(), seats)
    return labels


def _matched(cost: np.ndarray, seats: int) -> np.ndarray:
    """The stable matching of n points with centres of so many seats each, by cost [n, k]; -1 for who gets none.

    Whom a full centre would send away anyway does not ask it, so that ten rounds or so are enough.
    """
    labels = np.full(len(cost), -1)
    # What a full centre's farthest point costs: it only falls.
    limits = np.full(cost.shape[1], np.inf, cost.dtype)
    asking = np.arange(len(cost))
    while len(asking):
        hopes = cost[asking]
        hopes[hopes > limits] = np.inf
        wanted = hopes.argmin(1)
        hopeful = np.isfinite(hopes[np.arange(len(asking)), wanted])
        labels[asking[hopeful]] = wanted[hopeful]
        held = np.flatnonzero(np.isin(labels, wanted[hopeful]))
        held = held[np.lexsort((cost[held, labels[held]], labels[held]))]
        place = np.arange(len(held)) - np.searchsorted(labels[held], labels[held])
        last, asking = held[place == seats - 1], held[place >= seats]
        limits[labels[last]] = cost[last, labels[last]]
        cost[asking, labels[asking]] = np.inf
        labels[asking] = -1
    return labels

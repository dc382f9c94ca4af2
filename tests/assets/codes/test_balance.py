from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genrec.assets.codes.balance import balanced_clusters, distances, sinkhorn


def plan_of_the_authors(cost: Tensor, epsilon: float, rounds: int) -> Tensor:
    """The whole matrix, normalised by rows and columns in turn."""
    cost = cost.double()
    middle = (cost.max() + cost.min()) / 2
    amplitude = cost.max() - middle + 1e-5
    plan = torch.exp(-(cost - middle) / amplitude / epsilon)
    n, k = plan.shape
    plan /= plan.sum()
    for _ in range(rounds):
        plan /= plan.sum(1, keepdim=True) * n
        plan /= plan.sum(0, keepdim=True) * k
    return plan * n


@pytest.mark.parametrize("shape", [(2, 7), (30, 8), (40, 40)])
@pytest.mark.parametrize("epsilon", [0.003, 0.05])
def test_the_plan_is_the_authors(shape: tuple[int, int], epsilon: float) -> None:
    cost = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 100
    found, expected = sinkhorn(cost, epsilon), plan_of_the_authors(cost, epsilon, 50)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_every_code_gets_its_share() -> None:
    cost = torch.rand(60, 6, generator=torch.Generator().manual_seed(1))
    # All points are nearest to code 0, and would all take it.
    cost[:, 0] -= 1
    plan = sinkhorn(cost, 0.01)
    torch.testing.assert_close(plan.sum(0), torch.full((6,), 60 / 6, dtype=torch.float64))
    counts = plan.argmax(1).bincount(minlength=6)
    assert (cost.argmin(1) == 0).all()
    assert counts.min() >= 60 / 6 / 2
    assert counts.max() <= 60 / 6 * 2


def test_extreme_costs_overflow_nothing() -> None:
    cost = torch.tensor([[0.0, 1e12, 1e12], [0.0, 0.0, 1e12], [1e-9, 1e12, 0.0]])
    plan = sinkhorn(cost, 0.003)
    assert torch.isfinite(plan).all()
    assert plan.argmax(1).tolist() == [0, 1, 2]


def test_equal_points_get_equal_rows() -> None:
    plan = sinkhorn(torch.rand(1, 5).repeat(3, 1), 0.003)
    assert torch.equal(plan[0], plan[1])
    assert torch.equal(plan[0], plan[2])


def test_distances_are_squared_and_euclidean() -> None:
    points, centers = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0], [1.0, 1.0]])
    expected = [[3.0**2 + 4**2, 1, 1 + 1], [0, 3**2 + 3**2, 2**2 + 3**2]]
    torch.testing.assert_close(distances(points, centers), torch.tensor(expected))


@given(n=st.integers(2, 70), k=st.integers(1, 12), seed=st.integers(0, 9))
def test_clusters_are_about_as_large(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = np.bincount(balanced_clusters(rng.standard_normal((n, 3)), k, 3, rng))
    assert sizes.sum() == n
    assert len(sizes) <= k
    assert sizes.min() >= 2 or k == 1
    assert sizes.max() <= -(-n // len(sizes))


def test_a_codebook_of_256_has_ten_clusters_within_the_authors_bounds() -> None:
    rng = np.random.default_rng(0)
    # One dense heap and some far points: plain k-means would give clusters of one.
    points = np.concatenate([rng.standard_normal((240, 4)), 100 * rng.standard_normal((16, 4))])
    sizes = np.bincount(balanced_clusters(points, 10, 10, rng))
    assert len(sizes) == 10
    assert sizes.min() >= 256 - 9 * 26 >= 10
    assert sizes.max() <= 26 <= 60


def test_four_points_fall_into_the_best_pairs() -> None:
    points = np.array([[0.0], [1.0], [10.0], [11.0]])
    labels = balanced_clusters(points, 2, 10, np.random.default_rng(0))

    def spread(pairs: tuple[int, ...]) -> float:
        return abs(points[pairs[0], 0] - points[pairs[1], 0]) + abs(points[pairs[2], 0] - points[pairs[3], 0])

    best = min(permutations(range(4)), key=spread)
    assert labels[best[0]] == labels[best[1]] != labels[best[2]] == labels[best[3]]

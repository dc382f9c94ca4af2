from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genrec import devices
from genrec.assets.codes.balance import distances, sinkhorn
from genrec.assets.codes.repair import ROUNDS, assign, colliding_groups, last_residuals, settle, spread
from genrec.assets.codes.rqvae import quantize
from genrec.errors import GenrecError


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def distinct(codes: Tensor) -> bool:
    return len(codes.unique(dim=0)) == len(codes)


def case(n: int, levels: int, size: int, seed: int, spreading: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    codebooks = drawn(levels, size, 3, seed=seed + 1)
    latents = drawn(n, 3, seed=seed) * spreading
    return quantize(latents, codebooks).codes, latents, codebooks


def test_groups_of_equal_codes() -> None:
    codes = torch.tensor([[1, 2], [0, 0], [1, 2], [2, 1], [0, 0], [1, 2], [3, 3], [3, 3]])
    assert [groups.tolist() for groups in colliding_groups(codes)] == [[[1, 4], [6, 7]], [[0, 2, 5]]]
    assert not list(colliding_groups(codes[1:4]))


def test_groups_of_a_size_are_cut_where_they_would_hold_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "CACHED", 12)
    codes = torch.arange(5)[:, None].repeat(2, 1)
    assert [len(groups) for groups in colliding_groups(codes, held=3)] == [2, 2, 1]


def slow_spread(codes: Tensor, latents: Tensor, codebooks: Tensor) -> Tensor:
    """Group after group."""
    codes, residuals = codes.clone(), last_residuals(codes, latents, codebooks)
    for _ in range(ROUNDS):
        before = codes.clone()
        for row in before.unique(dim=0):
            rows = (before == row).all(1).nonzero()[:, 0]
            if len(rows) > 1:
                codes[rows, -1] = sinkhorn(distances(residuals[rows], codebooks[-1]), 0.003).argmax(1)
        if torch.equal(codes, before):
            break
    return codes


@pytest.mark.parametrize("seed", range(3))
def test_groups_that_are_parted_together_are_parted_as_one_by_one(seed: int) -> None:
    n, codebooks, latents = 100, drawn(2, 256, 32, seed=seed), 0.3 * drawn(100, 32, seed=seed + 9)
    codes = quantize(latents, codebooks).codes
    # Few of the second level, so that many are equal.
    codes[:, 1] %= 3
    # Items that are alike have ties, which the last bit decides.
    latents[: n // 3] = latents[0]
    codes[: n // 3] = codes[0]
    assert torch.equal(spread(codes, latents, codebooks, 0.003), slow_spread(codes, latents, codebooks))


def test_the_last_level_explains_what_the_others_left() -> None:
    codes, latents, codebooks = case(5, 3, 4, seed=0)
    expected = quantize(latents, codebooks).residuals[:, -1]
    torch.testing.assert_close(last_residuals(codes, latents, codebooks), expected)


def test_transport_parts_groups_behind_their_prefix() -> None:
    codes, latents, codebooks = case(60, 2, 8, seed=0)
    parted = spread(codes, latents, codebooks, 0.003)
    assert torch.equal(parted[:, 0], codes[:, 0])
    assert len(parted.unique(dim=0)) > len(codes.unique(dim=0))


def test_transport_leaves_codes_that_nobody_shares() -> None:
    codes, latents, codebooks = torch.tensor([[0, 1], [1, 1], [1, 1]]), drawn(3, 3), drawn(2, 4, 3, seed=1)
    parted = spread(codes, latents, codebooks, 0.003)
    assert parted[0].tolist() == [0, 1]
    assert distinct(parted)
    assert distinct(codes[:2])
    assert torch.equal(spread(codes[:2], latents[:2], codebooks, 0.003), codes[:2])


def test_transport_cannot_part_what_is_identical() -> None:
    codebooks = drawn(2, 8, 3)
    latents = drawn(1, 3, seed=1).repeat(5, 1)
    parted = spread(quantize(latents, codebooks).codes, latents, codebooks, 0.003)
    assert len(parted.unique(dim=0)) == 1
    assert distinct(assign(parted, latents, codebooks))


@given(n=st.integers(1, 40), seed=st.integers(0, 20), spreading=st.sampled_from([0.0, 0.1, 1.0]))
def test_codes_become_distinct_and_those_that_were_stay(n: int, seed: int, spreading: float) -> None:
    # 4 * 4 last codes behind each of 4 first codes: even 40 equal items would find 16 only.
    codes, latents, codebooks = case(n, 3, 8, seed, spreading)
    repaired = assign(codes, latents, codebooks)
    assert distinct(repaired)
    _, inverse, counts = codes.unique(dim=0, return_inverse=True, return_counts=True)
    alone = counts[inverse] == 1
    assert torch.equal(repaired[alone], codes[alone])
    assert torch.equal(repaired[:, 0], codes[:, 0])


@pytest.mark.parametrize("seed", range(5))
def test_the_assignment_is_the_shortest(seed: int) -> None:
    # Four colliding items and one that holds code 5 behind the same prefix.
    codebooks, latents = drawn(2, 6, 3, seed=seed), drawn(5, 3, seed=seed + 100)
    codes = torch.tensor([[1, 0], [1, 0], [1, 3], [1, 3], [1, 5]])
    repaired = assign(codes, latents, codebooks)
    left = latents - codebooks[0, 1]

    def length(last: tuple[int, ...]) -> float:
        return sum((left[row] - codebooks[1, code]).square().sum().item() for row, code in enumerate(last))

    best = min(permutations(range(5), 4), key=length)
    assert repaired[:, 1].tolist() == [*best, 5]
    assert (repaired[:, 0] == 1).all()


def test_more_items_than_last_codes_flow_over_to_the_next_nearest_code_before() -> None:
    # 300 items of one name: 256 of them, in item order, stay behind the prefix, 44 go to the nearest other.
    codebooks = drawn(3, 256, 4)
    latents = drawn(1, 4, seed=1) + 0.001 * drawn(300, 4, seed=2)
    codes = quantize(latents[:1], codebooks).codes.repeat(300, 1)
    repaired = assign(codes, latents, codebooks)
    assert distinct(repaired)
    assert torch.equal(repaired[:256, :2], codes[:256, :2])
    assert sorted(repaired[:256, 2].tolist()) == list(range(256))
    for row in range(256, 300):
        left = latents[row] - codebooks[0, codes[row, 0]]
        order = torch.cdist(left[None], codebooks[1])[0].argsort()
        assert repaired[row, 0] == codes[row, 0]
        assert repaired[row, 1] == order[1]


def slow_settle(codes: Tensor, latents: Tensor, codebooks: Tensor, there: Tensor) -> list[list[int]]:
    """Every pair of the two last codes, by distance of the first and then of the second; the first that is free."""
    taken = {tuple(row) for row in there.tolist()}
    settled = []
    for wanted, latent in zip(codes.tolist(), latents, strict=True):
        left = latent - codebooks[0, wanted[0]]
        before = sorted(range(4), key=lambda code: (code != wanted[1], (left - codebooks[1, code]).norm().item()))
        last = {
            code: sorted(range(4), key=lambda c: (left - codebooks[1, code] - codebooks[2, c]).norm().item())
            for code in before
        }
        options = [(wanted[0], code, behind) for code in before for behind in last[code]]
        settled.append(list(next(option for option in [tuple(wanted), *options] if option not in taken)))
        taken.add(tuple(settled[-1]))
    return settled


@given(n=st.integers(1, 10), seed=st.integers(0, 30))
def test_newcomers_take_the_nearest_free_codes_in_order(n: int, seed: int) -> None:
    codes, latents, codebooks = case(20, 3, 4, seed, spreading=0.3)
    there = assign(codes[:4], latents[:4], codebooks)
    settled = settle(codes[4 : 4 + n], latents[4 : 4 + n], codebooks, there)
    assert settled.tolist() == slow_settle(codes[4 : 4 + n], latents[4 : 4 + n], codebooks, there)
    # Who comes later changes nothing for those before.
    assert torch.equal(settle(codes[4:5], latents[4:5], codebooks, there), settled[:1])


def test_too_few_codes_are_said_to_be_too_few() -> None:
    codebooks, latents = drawn(3, 2, 3), drawn(1, 3).repeat(5, 1)
    codes = quantize(latents, codebooks).codes
    with pytest.raises(GenrecError, match=r"all 4 codes behind the prefix \[\d\] are taken: use more levels"):
        assign(codes, latents, codebooks)
    assert distinct(assign(codes[:4], latents[:4], codebooks))

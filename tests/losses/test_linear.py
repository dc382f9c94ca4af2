"""The cross-entropy in parts is the dense one, in value and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec import devices
from genrec.losses import linear_cross_entropy


def example(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    states = torch.randn(37, 8, dtype=dtype, requires_grad=True)
    table = torch.randn(23, 8, dtype=dtype, requires_grad=True)
    weight = torch.rand(37, dtype=dtype)
    weight[5] = 0
    return states, table, torch.randint(23, (37,)), weight


def gradients(loss: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(3 * loss, of)


# A class at a time, a few classes, some states, everything.
@pytest.mark.parametrize("held", [1, 111, 17 * 23, 2**22])
def test_it_is_the_dense_one_however_it_is_cut(monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(devices, "CACHED", held)
    states, table, target, weight = example()
    dense = (F.cross_entropy(states @ table.T, target, reduction="none") * weight).sum()
    loss = linear_cross_entropy(states, table, target, weight)
    torch.testing.assert_close(loss, dense, rtol=1e-10, atol=0)
    expected = gradients(dense, states, table)
    for found, wanted in zip(gradients(loss, states, table), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_gradients_are_those_of_small_differences() -> None:
    states, table, target, weight = example()
    assert torch.autograd.gradcheck(lambda s, t: linear_cross_entropy(s, t, target, weight), (states, table))


def test_a_frozen_table_gets_no_gradient() -> None:
    states, table, target, weight = example()
    frozen = linear_cross_entropy(states, table.detach(), target, weight)
    (found,) = gradients(frozen, states)
    torch.testing.assert_close(found, gradients(linear_cross_entropy(states, table, target, weight), states)[0])
    assert not linear_cross_entropy(states.detach(), table.detach(), target, weight).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_are_wide_whatever_the_products_are_made_in(dtype: torch.dtype) -> None:
    states, table, target, weight = example(torch.float32)
    dense = (F.cross_entropy(states @ table.T, target, reduction="none") * weight).sum()
    with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
        loss = linear_cross_entropy(states, table, target, weight)
    assert loss.dtype == torch.float32
    slack = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(loss, dense, rtol=slack, atol=0)
    for found, wanted in zip(gradients(loss, states, table), gradients(dense, states, table), strict=True):
        assert found.dtype == torch.float32
        assert (found - wanted).norm() < slack * wanted.norm()

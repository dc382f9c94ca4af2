"""Losses over slots against walks over targets, slots and classes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genrec.losses import slot_log_probs, slot_loss


def slow_log_probs(states: Tensor, tables: Tensor, temperature: float) -> list[list[list[float]]]:
    found = []
    for user in states.tolist():
        rows = []
        for state, table in zip(user, tables.tolist(), strict=True):
            logits = [sum(a * b for a, b in zip(state, row, strict=True)) / temperature for row in table]
            total = math.log(sum(math.exp(logit) for logit in logits))
            rows.append([logit - total for logit in logits])
        found.append(rows)
    return found


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.sampled_from([0.5, 1.0]), st.integers(0, 99))
def test_log_probabilities(users: int, slots: int, size: int, temperature: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    states, tables = (torch.randn(*shape, generator=generator) for shape in ((users, slots, 3), (slots, size, 3)))
    found = slot_log_probs(states, tables, temperature)
    torch.testing.assert_close(found, torch.tensor(slow_log_probs(states, tables, temperature)))


def test_log_probabilities_are_float32_whatever_the_precision() -> None:
    states, tables = torch.randn(4, 2, 64), torch.randn(2, 8, 64)
    expected = slot_log_probs(states, tables)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(slot_log_probs(states, tables), expected)
    assert slot_log_probs(states.bfloat16(), tables.bfloat16()).dtype == torch.float32


@given(st.data(), st.integers(1, 4), st.integers(1, 4), st.sampled_from([0.0, 0.1]), st.booleans())
def test_loss(data: st.DataObject, targets: int, slots: int, smoothing: float, all_count: bool) -> None:
    size = 5
    log_probs = torch.randn(targets, slots, size, generator=torch.Generator().manual_seed(0)).log_softmax(2)
    flags = st.lists(st.booleans(), min_size=slots, max_size=slots)
    codes = data.draw(
        st.lists(st.lists(st.integers(0, size - 1), min_size=slots, max_size=slots), min_size=targets, max_size=targets)
    )
    counts = None if all_count else data.draw(st.lists(flags, min_size=targets, max_size=targets))
    means = []
    for target in range(targets):
        parts = []
        for slot in range(slots):
            if counts is None or counts[target][slot]:
                row = log_probs[target, slot].tolist()
                parts.append(-(1 - smoothing) * row[codes[target][slot]] - smoothing * sum(row) / size)
        means.append(sum(parts) / len(parts) if parts else 0.0)
    found = slot_loss(log_probs, torch.tensor(codes), None if counts is None else torch.tensor(counts), smoothing)
    assert found.item() == pytest.approx(sum(means) / targets, abs=1e-5)

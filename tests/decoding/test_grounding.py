from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.decoding.grounding import top_k
from genrec.errors import GenrecError


@given(st.integers(1, 5), st.lists(st.booleans(), min_size=6, max_size=9).filter(any), st.integers(0, 99))
def test_equals_sorting_the_allowed_items(users: int, allowed: list[bool], seed: int) -> None:
    scores = torch.randn(users, len(allowed), generator=torch.Generator().manual_seed(seed))
    candidates = [item for item, flag in enumerate(allowed) if flag]
    ranking = top_k(scores, torch.tensor([allowed, [True] * len(allowed)]), len(candidates))
    for user in range(users):
        best = sorted(candidates, key=lambda item: -scores[user, item].item())
        assert ranking.items[0, user].tolist() == best
        assert ranking.scores[0, user].tolist() == [scores[user, item].item() for item in best]


@pytest.mark.parametrize(("allowed", "said"), [([True, False], "best 2 of 1"), ([False, False], "best 2 of 0")])
def test_too_small_a_candidate_set_is_refused(allowed: list[bool], said: str) -> None:
    with pytest.raises(GenrecError, match=said):
        top_k(torch.zeros(1, 2), torch.tensor([allowed]), 2)

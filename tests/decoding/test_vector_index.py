from __future__ import annotations

import faiss  # noqa: F401 # here, not in an example, which has a deadline
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec.decoding.grounding import top_k
from genrec.decoding.vector_index import Kind, VectorIndex


def random(rows: int, dim: int, seed: int) -> Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25)
@given(
    st.integers(1, 4),
    st.lists(st.booleans(), min_size=5, max_size=40).filter(any),
    st.sampled_from(["exact", "approximate"]),
    st.integers(0, 99),
)
def test_all_lists_together_give_what_scoring_every_item_gives(
    users: int, flags: list[bool], kind: Kind, seed: int
) -> None:
    vectors, queries, allowed = random(len(flags), 6, seed), random(users, 6, seed + 1), torch.tensor(flags)
    items, scores = VectorIndex(vectors, kind).search(queries, int(allowed.sum()), allowed)
    expected = top_k(queries @ vectors.T, allowed[None], int(allowed.sum()))
    torch.testing.assert_close(scores, expected.scores[0])
    torch.testing.assert_close((queries @ vectors.T).gather(1, items), scores)
    assert all(len(set(row)) == len(row) and allowed[row].all() for row in items.tolist())


def test_a_short_list_is_filled_from_all_others() -> None:
    vectors, queries = random(400, 6, 0), random(5, 6, 1)
    index = VectorIndex(vectors, "approximate")
    index.probes = 1
    allowed = torch.zeros(400, dtype=torch.bool)
    allowed[::57] = True
    items, _ = index.search(queries, 8, allowed)
    assert [sorted(row) for row in items.tolist()] == [list(range(0, 400, 57))] * 5


@pytest.mark.parametrize("wanted", [0.5, 0.9, 1.0])
def test_tuning_finds_the_fewest_lists_that_reach_the_recall(wanted: float) -> None:
    vectors, queries = random(900, 8, 0), random(64, 8, 1)
    index = VectorIndex(vectors, "approximate")
    assert index.probes == 30
    index.tune(queries, 10, wanted)
    best = (queries @ vectors.T).topk(10).indices

    def share() -> float:
        found = index.search(queries, 10)[0]
        return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), best.tolist(), strict=True)]))

    assert share() == pytest.approx(index.recall(queries, 10))
    assert share() >= wanted
    index.probes //= 2
    assert index.probes == 0 or share() < wanted


@pytest.mark.parametrize("kind", ["exact", "approximate"])
def test_new_vectors_get_the_next_rows(kind: Kind) -> None:
    vectors = random(100, 6, 0)
    index = VectorIndex(vectors[:90], kind)
    index.add(vectors[90:])
    assert len(index) == 100
    items, _ = index.search(vectors[95:96] * 100, 100)
    assert items[0].sort().values.tolist() == list(range(100))
    assert items[0, 0] == (vectors[95] @ vectors.T).argmax()


def test_an_exact_index_has_nothing_to_tune() -> None:
    index = VectorIndex(random(20, 4, 0))
    index.tune(random(3, 4, 1), 5, 1.0)
    assert index.recall(random(3, 4, 2), 5) == 1.0

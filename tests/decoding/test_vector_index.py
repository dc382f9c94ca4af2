from __future__ import annotations

import faiss  # noqa: F401 # here, not in an example, which has a deadline
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec.decoding.grounding import top_k
from genrec.decoding.vector_index import DEEPEST, Kind, VectorIndex, made


def random(rows: int, dim: int, seed: int) -> Tensor:
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))


KINDS: list[Kind] = ["ivf", "hnsw", "ivf_pq"]


@settings(max_examples=25)
@given(
    st.integers(1, 4),
    st.lists(st.booleans(), min_size=5, max_size=40).filter(any),
    st.sampled_from(["exact", *KINDS]),
    st.integers(0, 99),
)
def test_an_index_that_is_not_tuned_gives_what_scoring_every_item_gives(
    users: int, flags: list[bool], kind: Kind, seed: int
) -> None:
    vectors, queries, allowed = random(len(flags), 6, seed), random(users, 6, seed + 1), torch.tensor(flags)
    items, scores = VectorIndex(vectors, kind).search(queries, int(allowed.sum()), allowed)
    expected = top_k(queries @ vectors.T, allowed[None], int(allowed.sum()))
    torch.testing.assert_close(scores, expected.scores[0])
    torch.testing.assert_close((queries @ vectors.T).gather(1, items), scores)
    assert all(len(set(row)) == len(row) and allowed[row].all() for row in items.tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_exact_whatever_an_index_brings_up(kind: Kind) -> None:
    vectors, queries, allowed = random(2000, 20, 0), random(9, 20, 1), torch.rand(2000) < 0.7
    index = VectorIndex(vectors, kind)
    index.effort, index.deep = index.structure.least, 4  # type: ignore[union-attr]
    items, scores = index.search(queries, 5, allowed)
    torch.testing.assert_close(scores, (queries @ vectors.T).gather(1, items))
    assert (scores[:, 1:] <= scores[:, :-1]).all()
    assert allowed[items].all()
    assert len(set(items[0].tolist())) == 5
    half = VectorIndex(vectors.half(), kind)
    half.effort, half.deep = index.effort, index.deep
    items, scores = half.search(queries, 5, allowed)
    torch.testing.assert_close(scores, (queries @ vectors.half().float().T).gather(1, items))


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_list_is_filled_from_all_others(kind: Kind) -> None:
    vectors, queries = random(400, 6, 0), random(5, 6, 1)
    index = VectorIndex(vectors, kind)
    index.effort, index.deep = 1, 1
    allowed = torch.zeros(400, dtype=torch.bool)
    allowed[::57] = True
    items, _ = index.search(queries, 8, allowed)
    assert [sorted(row) for row in items.tolist()] == [list(range(0, 400, 57))] * 5


def test_few_lists_are_enough_where_vectors_lie_together() -> None:
    """Lists by products, to which long vectors draw everything, need twice as many here."""
    centres, drawn = random(60, 16, 0), torch.arange(3000) % 60
    vectors = (centres[drawn] + 0.2 * random(3000, 16, 1)) * (0.3 * random(3000, 1, 2)).exp()
    queries = vectors[::15] + 0.3 * random(200, 16, 3)
    index = VectorIndex(vectors, "ivf")
    assert index.tune(queries[::2], 10, 0.99) >= 0.99
    assert index.recall(queries[1::2], 10) >= 0.98
    assert index.effort <= 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wanted", [0.5, 0.9])
def test_tuning_finds_the_least_effort_that_reaches_the_recall(kind: Kind, wanted: float) -> None:
    vectors, queries = random(900, 8, 0), random(64, 8, 1)
    index = VectorIndex(vectors, kind)
    least, best = index.structure.least, (queries @ vectors.T).topk(10).indices.numpy()  # type: ignore[union-attr]

    def share(effort: int, deep: int) -> float:
        """Of the best ten, those that are brought up."""
        count = min(deep * 10, 900, index.structure.reach(effort))  # type: ignore[union-attr]
        found = index.structure.find(queries, count, effort, None)  # type: ignore[union-attr]
        return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), best.tolist(), strict=True)]))

    reached = index.tune(queries, 10, wanted)
    assert reached == pytest.approx(share(index.effort, index.deep))
    assert wanted <= reached <= index.recall(queries, 10)
    assert index.deep == 1 or share(index.effort, index.deep // 2) < wanted
    assert index.effort == least or share(index.effort // 2, DEEPEST) < wanted
    assert index.effort < index.structure.most  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["exact", *KINDS])
def test_new_vectors_get_the_next_rows(kind: Kind) -> None:
    vectors = random(100, 6, 0)
    index = VectorIndex(vectors[:90], kind)
    index.grow(vectors)
    assert len(index) == 100
    items, _ = index.search(vectors[95:96] * 100, 100)
    assert items[0].sort().values.tolist() == list(range(100))
    assert items[0, 0] == (vectors[95] @ vectors.T).argmax()
    if index.structure is not None:
        index.effort = index.structure.most - 1
        assert index.search(vectors[95:96], 1)[0].item() == (vectors[95] @ vectors.T).argmax()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_learned_makes_the_same_index(kind: Kind) -> None:
    vectors, queries = random(700, 12, 0), random(20, 12, 1)
    index = VectorIndex(vectors, kind)
    arrays = index.structure.arrays()  # type: ignore[union-attr]
    structure = made(vectors, kind)
    structure.restore(arrays, vectors)  # type: ignore[union-attr]
    again = VectorIndex(vectors, kind, structure)
    index.effort, index.deep = again.effort, again.deep = (index.structure.least, 2)  # type: ignore[union-attr]
    for old, new in zip(index.search(queries, 5), again.search(queries, 5), strict=True):
        assert torch.equal(old, new)
    index.grow(torch.cat([vectors, queries]))
    again.grow(torch.cat([vectors, queries]))
    assert torch.equal(index.search(queries, 3)[0], again.search(queries, 3)[0])


def test_an_exact_index_has_nothing_to_tune() -> None:
    index = VectorIndex(random(20, 4, 0))
    assert index.tune(random(3, 4, 1), 5, 1.0) == 1.0
    assert index.recall(random(3, 4, 2), 5) == 1.0

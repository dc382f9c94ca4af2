"""Walking from item to similar item: what is found is right, and nearly all that is best is found."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.decoding import graph as module
from genrec.decoding import item_scores, top_codes
from genrec.decoding.graph import GraphSearch, ItemGraph
from genrec.errors import GenrecError

ITEMS, SLOTS, SIZE, WIDTH, USERS = 3000, 6, 16, 12, 7
SEARCH = GraphSearch(edges=20, beams=20, steps=4)


def catalogue(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Codes of items that come in kinds, tables that compare them, and what users who like one give for every code."""
    generator = torch.Generator().manual_seed(seed)
    tables = F.normalize(torch.randn(SLOTS, SIZE, WIDTH, generator=generator), dim=2)
    kinds = torch.randint(SIZE, (40, SLOTS), generator=generator)[torch.randint(40, (ITEMS,), generator=generator)]
    codes = torch.where(
        torch.rand(ITEMS, SLOTS, generator=generator) < 0.4,
        torch.randint(SIZE, (ITEMS, SLOTS), generator=generator),
        kinds,
    )
    liked = tables[torch.arange(SLOTS), codes[torch.randint(ITEMS, (USERS,), generator=generator)]]
    states = F.normalize(liked + 0.2 * torch.randn(USERS, SLOTS, WIDTH, generator=generator), dim=2)
    numbers = (torch.einsum("bmd,msd->bms", states, tables) / 0.2).log_softmax(2) / SLOTS
    return codes, tables, numbers


def everything(count: int = ITEMS) -> Tensor:
    return torch.ones(1, count, dtype=torch.bool)


def share(found: Tensor, best: Tensor) -> float:
    return float((found[..., :, None] == best[..., None, :]).any(-1).float().mean())


def test_neighbours_are_the_items_whose_codes_are_most_alike() -> None:
    codes, tables, _ = catalogue()
    graph = ItemGraph(codes[:200], tables, SEARCH)
    alike = item_scores(torch.einsum("nmd,msd->nms", tables[torch.arange(SLOTS), codes[:200]], tables), codes[:200])

    found = alike.gather(1, graph.neighbours.long())
    torch.testing.assert_close(found, alike.topk(20).values, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("compared", "least"), [(module.COMPARED, 0.9), (100, 0.7)], ids=["all compared", "lists"])
def test_what_a_walk_finds_is_right_and_nearly_all_that_is_best(
    compared: int, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMPARED", compared)
    codes, tables, numbers = catalogue()
    ranking = ItemGraph(codes, tables, SEARCH).top_k(numbers, everything(), 10)
    exact = top_codes(numbers, codes, everything(), 10)

    scores = item_scores(numbers, codes)
    torch.testing.assert_close(ranking.scores[0], scores.gather(1, ranking.items[0]))
    assert (ranking.scores[..., 1:] <= ranking.scores[..., :-1]).all()
    assert all(len(set(items.tolist())) == 10 for items in ranking.items[0])
    assert share(ranking.items, exact.items) >= least


def test_a_users_walk_depends_on_nobody_else() -> None:
    codes, tables, numbers = catalogue()
    graph = ItemGraph(codes, tables, SEARCH)
    together = graph.top_k(numbers, everything(), 10)

    for user in range(USERS):
        alone = graph.top_k(numbers[user, None], everything(), 10)
        torch.testing.assert_close(alone.items[0, 0], together.items[0, user])


def test_small_sets_are_ranked_whole_and_who_walked_past_too_few_too() -> None:
    codes, tables, numbers = catalogue()
    # The last thousand of three: walks come by some of them, and the worst for everybody are hardly met.
    late = torch.arange(ITEMS) >= 2000
    few = torch.arange(ITEMS) % 29 == 0
    worst = torch.zeros(ITEMS, dtype=torch.bool)
    worst[item_scores(numbers, codes).sum(0).topk(900, largest=False).indices] = True
    allowed = torch.stack([late, few, worst])
    ranking = ItemGraph(codes, tables, SEARCH).top_k(numbers, allowed, 10)
    exact = top_codes(numbers, codes, allowed, 10)

    for found, among in zip(ranking.items, allowed, strict=True):
        assert among[found].all()
    torch.testing.assert_close(ranking.items[1], exact.items[1])
    scores = item_scores(numbers, codes)
    torch.testing.assert_close(ranking.scores, scores.expand(3, -1, -1).gather(2, ranking.items))
    assert share(ranking.items, exact.items) >= 0.6


def test_a_tiny_catalogue_a_long_list_and_too_few_candidates() -> None:
    codes, tables, numbers = catalogue()
    torch.testing.assert_close(
        ItemGraph(codes[:12], tables, SEARCH).top_k(numbers, everything(12), 12).items,
        top_codes(numbers, codes[:12], everything(12), 12).items,
    )
    torch.testing.assert_close(
        ItemGraph(codes, tables, SEARCH).top_k(numbers, everything(), 1000).items,
        top_codes(numbers, codes, everything(), 1000).items,
    )
    with pytest.raises(GenrecError, match="cannot rank the best 13 of 12"):
        ItemGraph(codes[:12], tables, SEARCH).top_k(numbers, everything(12), 13)
    with pytest.raises(GenrecError, match="beams"):
        GraphSearch(beams=0)

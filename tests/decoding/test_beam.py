"""Beam search and exact search against scoring every identifier one by one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec.backbones import Backbone
from genrec.backbones.attention import tree as trees
from genrec.decoding.beam import beam_search
from genrec.decoding.exact import exact_search
from genrec.decoding.trie import Trie
from genrec.errors import GenrecError
from genrec.identifiers import Search
from genrec.identifiers.writer import TokenWriter
from genrec.testing import tiny_backbone
from genrec.types import PAD, Ranking

from ..identifiers.sequences import Given, Model

HISTORY = torch.tensor([[PAD, PAD, 3, 1], [0, 1, 2, 3], [PAD, PAD, PAD, PAD]])
FIXED = [(a, 3 + b, 6 + c) for a in range(3) for b in range(3) for c in range(2 + (a + b) % 2)]
# Identifiers that are beginnings of one another, of depth 1 to 5.
SHORT = torch.tensor([[PAD, 1], [0, 1], [PAD, PAD]])
RAGGED = [(0,), (0, 1), (0, 1, 2), (1,), (2, 0, 0, 0, 1), (2, 0, 0), (2, 1), (1, 1, 1, 1), (3, 2), (0, 1, 2, 3, 0)]


@pytest.fixture(scope="module", params=["t5", "causal"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return tiny_backbone(request.param)


def everything(items: int) -> Tensor:
    return torch.ones(1, items, dtype=torch.bool)


@pytest.mark.parametrize("paths", [FIXED, RAGGED], ids=["fixed", "ragged"])
@pytest.mark.parametrize("exact", [False, True])
def test_a_wide_beam_equals_scoring_every_item(backbone: Backbone, paths: list[Any], exact: bool) -> None:
    search = Search(beams=2 if exact else len(paths), exact=exact)
    model = Model(Given(paths, search=search), backbone, len(paths))
    expected = model.scores(HISTORY, closed=paths is RAGGED).sort(1, descending=True)
    found = model.rank(HISTORY, len(paths), everything(len(paths)))
    torch.testing.assert_close(found.scores[0], expected.values, atol=1e-4, rtol=0)
    assert torch.equal(found.items[0], expected.indices)


def test_candidate_sets_share_one_search(backbone: Backbone) -> None:
    model = Model(Given(RAGGED, search=Search(beams=10)), backbone, 10)
    allowed = torch.rand(3, 10, generator=torch.Generator().manual_seed(0)) < 0.6
    allowed[0] = True
    together = model.rank(HISTORY, 3, allowed)
    for row, candidates in enumerate(allowed):
        alone = model.rank(HISTORY, 3, candidates[None])
        assert torch.equal(together.items[row], alone.items[0])
        torch.testing.assert_close(together.scores[row], alone.scores[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("normalize", ["full", "children"])
def test_what_the_tree_of_beams_forgets_changes_no_ranking(
    backbone: Backbone, normalize: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, 9, (40,), generator=generator).tolist()
    paths = list(dict.fromkeys(tuple(torch.randint(3, (n,), generator=generator).tolist()) for n in lengths))
    model = Model(Given(paths, search=Search(beams=4, normalize=normalize)), backbone, len(paths))
    history = torch.randint(-1, len(paths), (5, 4), generator=generator).sort(1).values
    allowed = torch.rand(3, len(paths), generator=generator) < torch.tensor([[1.1], [0.5], [0.2]])
    found = []
    for crowded in (0.0, 1.0, trees.CROWDED):
        monkeypatch.setattr(trees, "CROWDED", crowded)
        found.append(model.rank(history, 3, allowed))
    for other in found[1:]:
        assert torch.equal(other.items, found[0].items)
        torch.testing.assert_close(other.scores, found[0].scores, atol=1e-5, rtol=0)


class Table:
    """A language model whose next token depends on all before it, drawn at random once for every path."""

    independent = True

    def __init__(self, users: int, seed: int) -> None:
        self.users, self.seed = users, seed
        self.asked = 0

    def added(self, user: int, path: tuple[int, ...]) -> float:
        """The log-probability of the last token of a path."""
        generator = torch.Generator().manual_seed(hash((self.seed, user, path)) % 2**31)
        return -3 * float(torch.rand(1, generator=generator))

    def begin(self) -> Tensor:
        self.paths: list[tuple[int, tuple[int, ...]]] = [(user, ()) for user in range(self.users)]
        return torch.arange(self.users, dtype=torch.float32).view(-1, 1, 1)

    def write(self, tokens: Tensor, parents: Tensor) -> Tensor:
        before = len(self.paths) // self.users
        self.paths = [
            (user, (*self.paths[user * before + parent][1], token))
            for user in range(self.users)
            for token, parent in zip(tokens[user].tolist(), parents[user].tolist(), strict=True)
        ]
        return torch.arange(len(self.paths), dtype=torch.float32).view(*tokens.shape, 1)

    def write_paths(self, paths: Tensor) -> Tensor:
        raise NotImplementedError

    def log_probs(self, states: Tensor, tokens: Tensor, real: Tensor, level: Tensor) -> Tensor:
        self.asked += len(states)
        assert real.any(1).all(), "nothing can follow this state"
        assert torch.isin(tokens[real], level).all()
        rows = []
        for state, of_state in zip(states[:, 0].tolist(), tokens.tolist(), strict=True):
            user, path = self.paths[int(state)]
            rows.append([self.added(user, (*path, token)) for token in of_state])
        return torch.tensor(rows)


def slow_beam(
    model: Table, user: int, paths: dict[tuple[int, ...], int], k: int, beams: int, penalty: float
) -> list[tuple[float, int]]:
    """One user and candidate set, lists of paths, until nothing goes on: scores and items, best first."""
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    finished = []
    for depth in range(1, 1 + max(map(len, paths))):
        begun = {path[:depth] for path in paths if len(path) >= depth}
        following = [
            (score + model.added(user, path), path) for score, begin in live for path in begun if path[:-1] == begin
        ]
        best = sorted(following, reverse=True)[: max(beams, k)]
        finished += [(score / depth**penalty, paths[path]) for score, path in best if path in paths]
        live = [(score, path) for score, path in best if path not in paths]
    return sorted(finished, reverse=True)[:k]


# Levels have tokens of their own, so that a state which is asked for another level's tokens is noticed.
CLOSED = [(*(10 * place + token for place, token in enumerate(path)), 99) for path in RAGGED]


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(1, 3), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 1000))
def test_a_narrow_beam_is_the_slow_one(beams: int, k: int, penalty: float, seed: int) -> None:
    table = torch.tensor([[*path, *[PAD] * (6 - len(path))] for path in CLOSED])
    allowed = torch.rand(3, len(CLOSED), generator=torch.Generator().manual_seed(seed)) < 0.6
    allowed[0], allowed[:, :3] = True, True
    model = Table(3, seed)
    found = beam_search(model, Trie(table), allowed, k, beams, penalty)
    for row, candidates in enumerate(allowed):
        paths = {path: item for item, path in enumerate(CLOSED) if candidates[item]}
        for user in range(3):
            expected = slow_beam(model, user, paths, k, beams, penalty)
            items = [int(item) for item in found.items[row, user] if item != PAD]
            assert items == [item for _, item in expected]
            scores = found.scores[row, user, : len(items)]
            torch.testing.assert_close(scores, torch.tensor([score for score, _ in expected]))


def test_beams_that_can_only_lose_are_not_gone_on_with() -> None:
    class Certain(Table):
        def added(self, user: int, path: tuple[int, ...]) -> float:
            begin = path[0] % 10
            return [[-0.1, -5.0, -5.0, -5.0], [-1.0, -0.1, -0.2, -0.3]][user][begin]

    model = Certain(2, 0)
    paths = torch.tensor([[0, 99, PAD], [1, 11, 99], [2, 12, 99], [3, 13, 99]])
    found = beam_search(model, Trie(paths), everything(4), 1, 4)
    assert found.items[0].tolist() == [[0], [1]]
    # Both users' first token, their four second ones, and of one user, who has not got his item by then, the third.
    assert model.asked == 2 + 2 * 4 + 3


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple), min_size=3, max_size=25, unique=True),
    st.integers(1, 30),
    st.sampled_from(["full", "level", "children"]),
    st.integers(0, 1000),
)
def test_every_list_is_legal(paths: list[Any], beams: int, normalize: Any, seed: int) -> None:
    model = Model(Given(paths, search=Search(beams=beams, normalize=normalize)), T5, len(paths))
    allowed = torch.rand(2, len(paths), generator=torch.Generator().manual_seed(seed)) < 0.5
    allowed[:, :2] = True
    k = min(5, int(allowed.sum(1).min()))
    history = torch.randint(-1, len(paths), (3, 4), generator=torch.Generator().manual_seed(seed)).sort(1).values
    found = model.rank(history, k, allowed)
    assert (found.scores.diff(dim=2) <= 0).all()
    assert (found.scores <= 1e-6).all()
    for candidates, lists in zip(allowed, found.items, strict=True):
        for items in lists.tolist():
            assert len(set(items)) == k
            assert candidates[items].all()


T5 = tiny_backbone("t5")


@settings(max_examples=25)
@given(st.integers(1, 20), st.integers(0, 1000))
def test_no_beam_beats_the_exact_search(beams: int, seed: int) -> None:
    paths = FIXED if seed % 2 else RAGGED
    model = Model(Given(paths), T5, len(paths))
    torch.nn.init.normal_(model.identifier.names.reads, std=2.0, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        memory = model.read(HISTORY)
        trie, allowed = model.identifier.trie, everything(len(paths))
        writer = TokenWriter(model.identifier.names, model.backbone, memory, "full")
        exact, visited = exact_search(writer, trie, allowed, 3)
        found = beam_search(writer, trie, allowed, 3, beams)
        seeded, fewer = exact_search(writer, trie, allowed, 3, found)
    assert (exact.scores[..., -1] >= found.scores[..., -1] - 1e-4).all()
    torch.testing.assert_close(seeded.scores, exact.scores, atol=1e-4, rtol=0)
    # What the beam found is visited besides, where it is not the best.
    wrong = (found.items != exact.items).any(2)[0]
    assert (fewer <= visited + wrong * 3 * len(trie.levels)).all()
    assert (visited <= (trie.item == PAD).sum()).all()


def test_the_exact_search_trusts_no_score_that_was_computed_otherwise() -> None:
    """In 16 bits the beam's scores may lie above those of the exact search, by more than items differ."""
    model = Model(Given(FIXED), T5, len(FIXED))
    torch.nn.init.normal_(model.identifier.names.reads, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        writer = TokenWriter(model.identifier.names, model.backbone, model.read(HISTORY), "full")
        trie, allowed = model.identifier.trie, everything(len(FIXED))
        expected = exact_search(writer, trie, allowed, 3).ranking
        worst = exact_search(writer, trie, allowed, len(FIXED)).ranking.items[..., -3:]
        start = Ranking(worst, torch.zeros(expected.scores.shape))
        found = exact_search(writer, trie, allowed, 3, start).ranking
    assert torch.equal(found.items, expected.items)
    torch.testing.assert_close(found.scores, expected.scores)


@pytest.mark.parametrize("paths", [FIXED, RAGGED], ids=["fixed", "ragged"])
@pytest.mark.parametrize("normalize", ["full", "level", "children"])
def test_nothing_depends_on_whether_numbers_are_looked_at(
    backbone: Backbone, paths: list[Any], normalize: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(Given(paths, search=Search(beams=4, normalize=normalize)), backbone, len(paths))
    allowed = everything(len(paths)).repeat(2, 1)
    allowed[1, ::3] = False
    expected = model.rank(HISTORY, 4, allowed)
    monkeypatch.setattr("genrec.devices.exact_sizes", lambda device: False)
    found = model.rank(HISTORY, 4, allowed)
    assert torch.equal(found.items, expected.items)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-5, rtol=0)


@pytest.mark.parametrize("paths", [FIXED, RAGGED], ids=["fixed", "ragged"])
def test_a_user_alone_is_ranked_as_in_a_batch(backbone: Backbone, paths: list[Any]) -> None:
    model = Model(Given(paths, search=Search(beams=4)), backbone, len(paths))
    together = model.rank(HISTORY, 4, everything(len(paths)))
    for user, row in enumerate(HISTORY):
        alone = model.rank(row[row != PAD][None], 4, everything(len(paths)))
        assert torch.equal(alone.items[:, 0], together.items[:, user])
        torch.testing.assert_close(alone.scores[:, 0], together.scores[:, user], atol=1e-4, rtol=0)


def test_a_uniform_model_ties_identifiers_of_equal_length() -> None:
    model = Model(Given(FIXED), tiny_backbone("t5"), len(FIXED))
    with torch.no_grad():
        model.backbone.head().zero_()
        model.identifier.names.reads.zero_()
    scores = model.rank(HISTORY, 10, everything(len(FIXED))).scores
    words = model.identifier.names.words + len(model.identifier.names.tokens)
    torch.testing.assert_close(scores, torch.full_like(scores, -3 * torch.tensor(float(words)).log().item()))


def test_normalised_over_children_a_forced_token_costs_nothing() -> None:
    model = Model(Given([(0, 1, 2), (1, 2, 3)], search=Search(normalize="children")), T5, 2)
    scores = model.rank(SHORT, 2, everything(2)).scores[0]
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(3), atol=1e-5, rtol=0)
    alone = model.rank(SHORT, 1, torch.tensor([[True, False]])).scores
    torch.testing.assert_close(alone, torch.zeros_like(alone), atol=1e-5, rtol=0)


def test_normalised_over_a_level_all_identifiers_of_a_full_grid_sum_to_one() -> None:
    grid = [(a, 2 + b) for a in range(2) for b in range(3)]
    model = Model(Given(grid, search=Search(normalize="level")), T5, 6)
    scores = model.rank(SHORT, 6, everything(6)).scores[0]
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(3), atol=1e-5, rtol=0)


def test_a_length_penalty_divides_by_the_length(backbone: Backbone) -> None:
    search = Search(beams=10, length_penalty=1.0)
    model = Model(Given(RAGGED, search=search), backbone, 10)
    lengths = torch.tensor([len(path) + 1 for path in RAGGED])
    expected = (model.scores(HISTORY, closed=True) / lengths).sort(1, descending=True)
    found = model.rank(HISTORY, 10, everything(10))
    assert torch.equal(found.items[0], expected.indices)


@pytest.mark.parametrize("exact", [False, True])
def test_an_empty_or_small_candidate_set_is_refused(exact: bool) -> None:
    model = Model(Given(FIXED, search=Search(exact=exact)), T5, len(FIXED))
    for count in (0, 2):
        allowed = torch.arange(len(FIXED))[None] < count
        with pytest.raises(GenrecError, match=f"the best 3 of {count} candidate items"):
            model.rank(HISTORY, 3, allowed)


@pytest.mark.slow
def test_a_hundred_thousand_lists_hold_no_illegal_and_no_repeated_item() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(0, 16, (3000, 3), generator=generator) + 16 * torch.arange(3)
    codes = [tuple(row[: 2 + n % 2]) for n, row in enumerate(drawn.unique(dim=0).tolist())]
    codes = list(dict.fromkeys(codes))
    smallest = {"d_model": 16, "d_kv": 16, "d_ff": 16, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 1}
    model = Model(Given(codes, search=Search(beams=12)), tiny_backbone("t5", sizes=smallest), len(codes))
    allowed = torch.rand(4, len(codes), generator=generator) < torch.tensor([[1.1], [0.5], [0.02], [0.9]])
    lists = 0
    for _ in range(25):
        history = torch.randint(-1, len(codes), (1000, 3), generator=generator).sort(1).values
        items = model.rank(history, 10, allowed).items
        assert (items.sort(2).values.diff(dim=2) > 0).all()
        assert all(candidates[of_users].all() for candidates, of_users in zip(allowed, items, strict=True))
        lists += items.shape[0] * items.shape[1]
    assert lists == 100_000

"""The array trie against a dictionary."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genrec.decoding.trie import ROOT, Trie
from genrec.errors import GenrecError
from genrec.types import PAD

END = 9


def padded(paths: list[tuple[int, ...]]) -> Tensor:
    width = max(map(len, paths))
    return torch.tensor([[*path, *[PAD] * (width - len(path))] for path in paths])


# Distinct identifiers of mixed lengths, some of them beginnings of others; each is ended by a token of its own.
identifiers = st.lists(st.lists(st.integers(0, 4), max_size=4).map(tuple), min_size=1, max_size=30, unique=True).map(
    lambda paths: [(*path, END) for path in paths]
)


def oracle(paths: list[tuple[int, ...]]) -> dict[tuple[int, ...], set[int]]:
    """Every beginning of an identifier, and the tokens that may follow."""
    following: dict[tuple[int, ...], set[int]] = {}
    for path in paths:
        for length in range(len(path)):
            following.setdefault(path[:length], set()).add(path[length])
        following.setdefault(path, set())
    return following


def walk(trie: Trie, keep: Tensor | None = None) -> dict[tuple[int, ...], set[int]]:
    found = {}
    for node in range(len(trie)):
        if keep is not None and not keep[node]:
            continue
        children, real = trie.children(torch.tensor(node))
        live = [child for child in children[real].tolist() if keep is None or keep[child]]
        begin = tuple(trie.path(torch.tensor([node]))[0].tolist()) if node != ROOT else ()
        found[begin] = {int(trie.token[child]) for child in live}
    return found


@given(identifiers)
def test_it_holds_what_a_dictionary_holds(paths: list[tuple[int, ...]]) -> None:
    trie = Trie(padded(paths))
    assert walk(trie) == oracle(paths)
    leaves = (trie.item != PAD).nonzero().squeeze(1)
    for leaf in leaves:
        path = trie.path(leaf[None])[0]
        assert tuple(path[path != PAD].tolist()) == paths[int(trie.item[leaf])]
    assert trie.item[leaves].sort().values.tolist() == list(range(len(paths)))


@given(identifiers, st.randoms(use_true_random=False))
def test_nodes_are_alive_where_a_candidate_lies_below(paths: list[tuple[int, ...]], random: object) -> None:
    trie = Trie(padded(paths))
    chosen = [item for item in range(len(paths)) if random.random() < 0.5]  # type: ignore[attr-defined]
    allowed = torch.zeros(1, len(paths), dtype=torch.bool)
    allowed[0, chosen] = True
    alive = trie.alive(allowed)[0]
    if chosen:
        assert walk(trie, alive) == oracle([paths[item] for item in chosen])
    else:
        assert not alive.any()


def test_paths_of_nodes_of_any_depth() -> None:
    trie = Trie(padded([(5, 7), (5, 9), (6, 7)]))
    nodes = torch.tensor([[0, 1], [4, 2]])
    assert trie.path(nodes).tolist() == [[[PAD, PAD], [5, PAD]], [[5, 9], [6, PAD]]]
    assert [level.tolist() for level in trie.levels] == [[5, 6], [7, 9]]
    assert trie.depth.tolist() == [0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([(1, 2), (3, 4), (1, 2)], "items 0 and 2 have the same identifier"),
        ([(1, 2), (1, 2, 3)], "item 0 is the beginning of item 1's"),
        ([(1, 2, 3), (4,), (1, 2), (1, 1)], "item 2 is the beginning of item 0's"),
        ([(1,), ()], "item 1 has an empty identifier"),
    ],
)
def test_identifiers_that_cannot_be_told_apart(paths: list[tuple[int, ...]], said: str) -> None:
    with pytest.raises(GenrecError, match=said):
        Trie(padded(paths))

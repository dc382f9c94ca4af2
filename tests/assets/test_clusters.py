from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from genrec.assets import AssetStore, CooccurrenceClusters
from genrec.assets.clusters import cluster_paths, cooccurrences, diagnose, split
from genrec.data import Dataset, Ragged, Synthetic
from genrec.errors import GenrecError

LISTS = st.lists(st.lists(st.integers(0, 29), max_size=6), min_size=1, max_size=40)
SCRIPT = """
import sys
from pathlib import Path
from genrec.data import Synthetic
from genrec.assets import CooccurrenceClusters
print(CooccurrenceClusters(4, 20, seed=0).build(Synthetic(200, 200).load("."), Path(sys.argv[1]))["paths"].tolist())
"""


def with_train(dataset: Dataset, train: Ragged, validation: Ragged | None = None) -> Dataset:
    users = [f"user{row}" for row in range(len(train))]
    rest = validation or Ragged.from_lists([[0]] * len(train))
    return Dataset(dataset.name, dataset.catalog, users, train, rest, rest)


def planted(sizes: list[int], within: float, between: float) -> tuple[sparse.csr_array, np.ndarray]:
    """A random graph with denser blocks on the diagonal, and the block of every node."""
    blocks = np.repeat(np.arange(len(sizes)), sizes)
    chance = np.where(blocks[:, None] == blocks, within, between)
    upper = np.triu(np.random.default_rng(0).random(chance.shape) < chance, 1).astype(float)
    return sparse.csr_array(upper + upper.T), blocks


def check_tree(paths: np.ndarray, branching: int, leaf: int) -> None:
    """Leaves hold at most ``leaf`` items; a cluster has at most ``branching`` parts; nothing stands behind padding."""
    assert (paths[:, 0] >= 0).all()
    assert (paths < leaf).all()
    assert ((paths[:, 1:] == -1) | (paths[:, :-1] >= 0)).all()
    assert np.unique(paths, axis=0, return_counts=True)[1].max() <= leaf
    for depth in range(paths.shape[1]):
        prefixes = np.unique(paths[:, : depth + 1], axis=0)
        prefixes = prefixes[prefixes[:, -1] >= 0]
        assert np.unique(prefixes[:, :depth], axis=0, return_counts=True)[1].max() <= branching


@given(LISTS)
def test_cooccurrences_count_pairs_of_positions(lists: list[list[int]]) -> None:
    expected = np.zeros((30, 30))
    for items in lists:
        for first in range(len(items)):
            for second in range(first):
                if items[first] != items[second]:
                    expected[items[first], items[second]] += 1
                    expected[items[second], items[first]] += 1
    np.testing.assert_array_equal(cooccurrences(Ragged.from_lists(lists), 30).toarray(), expected)


def test_two_cliques_are_told_apart(dataset: Dataset, tmp_path: Path) -> None:
    paths = CooccurrenceClusters(branching=2, leaf=4, seed=0).build(dataset, tmp_path)["paths"]
    first, second = paths[[0, 1, 2, 3]], paths[[6, 7, 8, 9]]
    assert (first == first[0]).all()
    assert (second == second[0]).all()
    assert {first[0, 0], second[0, 0]} == {0, 1}
    assert (paths[[4, 5, 10, 11]] == -1).all()


def test_clusters_are_those_of_scikit_learn() -> None:
    graph, blocks = planted([60, 50, 40, 30], within=0.5, between=0.05)
    reference = SpectralClustering(4, affinity="precomputed", assign_labels="cluster_qr", random_state=0)
    expected = reference.fit(graph.toarray()).labels_
    found = split(graph, 4, seed=0)
    assert adjusted_rand_score(expected, found) == 1
    assert adjusted_rand_score(blocks, found) == 1


def test_numbers_run_breadth_first_and_start_again_at_leaf() -> None:
    # Four blocks in two pairs: two clusters are made first, then two parts of each.
    graph, blocks = planted([9, 9, 9, 9], within=1, between=0)
    pairs = sparse.csr_array(np.where(blocks[:, None] // 2 == blocks // 2, 0.2, 0.001) + graph.toarray())
    paths = cluster_paths(pairs, branching=2, leaf=9, seed=0)
    assert paths.shape == (36, 2)
    assert sorted(set(paths[:, 0])) == [0, 1]
    assert set(map(tuple, paths)) == {(0, 2), (0, 3), (1, 4), (1, 5)}
    check_tree(paths, 2, 9)
    # With three numbers the sixth cluster is called 5 % 3.
    wrapped = cluster_paths(pairs, branching=2, leaf=3, seed=0)
    np.testing.assert_array_equal(wrapped[:, :2], paths % 3)


@given(LISTS, st.integers(2, 5), st.integers(0, 4))
def test_any_lists_make_a_tree(lists: list[list[int]], branching: int, more: int) -> None:
    graph = cooccurrences(Ragged.from_lists(lists), 30)
    check_tree(cluster_paths(graph, branching, branching + more, seed=0), branching, branching + more)


@pytest.mark.parametrize(
    "graph",
    [
        sparse.csr_array((90, 90)),
        planted([90], within=1, between=0)[0],
        planted([2] * 45, within=1, between=0)[0],
        sparse.csr_array(sparse.block_diag([planted([30], within=1, between=0)[0], sparse.csr_array((60, 60))])),
        sparse.csr_array(([1.0] * 178, ([0] * 89 + list(range(1, 90)), list(range(1, 90)) + [0] * 89))),
    ],
    ids=["no edges", "a clique", "45 pairs", "60 isolated items", "a star"],
)
def test_graphs_without_clusters_are_split_evenly_and_the_same_every_time(graph: sparse.csr_array) -> None:
    paths = cluster_paths(graph, branching=3, leaf=10, seed=0)
    check_tree(paths, 3, 10)
    # 90 items in leaves of 10 need 2 levels of 3 clusters at least; a tree that peels off item by item is far deeper.
    assert paths.shape[1] <= 6
    np.testing.assert_array_equal(cluster_paths(graph, branching=3, leaf=10, seed=0), paths)


def test_a_single_item_is_a_cluster() -> None:
    np.testing.assert_array_equal(cluster_paths(sparse.csr_array((1, 1)), 20, 500, seed=0), [[0]])


def test_the_order_of_users_makes_no_difference(dataset: Dataset, tmp_path: Path) -> None:
    asset = CooccurrenceClusters(branching=3, leaf=4, seed=0)
    lists = [list(items) for items in np.random.default_rng(0).integers(0, 12, (30, 4)).tolist()]
    there = asset.build(with_train(dataset, Ragged.from_lists(lists)), tmp_path)["paths"]
    back = asset.build(with_train(dataset, Ragged.from_lists(lists[::-1])), tmp_path)["paths"]
    np.testing.assert_array_equal(there, back)


@pytest.mark.slow
def test_the_hash_seed_makes_no_difference(tmp_path: Path) -> None:
    here = CooccurrenceClusters(4, 20, seed=0).build(Synthetic(200, 200).load("."), tmp_path)["paths"]
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    there = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert here.tolist() == json.loads(there.stdout.splitlines()[-1])


def test_only_the_training_split_counts(dataset: Dataset, tmp_path: Path) -> None:
    asset = CooccurrenceClusters(branching=2, leaf=3, seed=0)
    other = with_train(dataset, dataset.train, Ragged.from_lists([[4, 10, 0, 6]] * 8))
    assert asset.fingerprint(other) == asset.fingerprint(dataset)
    np.testing.assert_array_equal(asset.build(other, tmp_path)["paths"], asset.build(dataset, tmp_path)["paths"])


def test_fingerprint_holds_what_decides_the_result(dataset: Dataset) -> None:
    longer = dataset.catalog.extend(pl.DataFrame({"item": ["new"]}))
    wide = Dataset(dataset.name, longer, dataset.users, dataset.train, dataset.validation, dataset.test)
    variants = [
        CooccurrenceClusters(),
        CooccurrenceClusters(branching=10),
        CooccurrenceClusters(leaf=100),
        CooccurrenceClusters(seed=1),
    ]
    prints = [each.fingerprint(dataset) for each in variants]
    prints += [variants[0].fingerprint(wide), variants[0].fingerprint(with_train(dataset, dataset.test))]
    assert len({str(each) for each in prints}) == 6


@pytest.mark.parametrize(("branching", "leaf"), [(1, 5), (6, 5)])
def test_settings_that_cannot_name_clusters_are_refused(branching: int, leaf: int) -> None:
    with pytest.raises(GenrecError, match=f"branching={branching}, leaf={leaf}"):
        CooccurrenceClusters(branching, leaf)


def test_numbers_about_a_tree() -> None:
    paths = np.array([[0, 2], [0, 2], [0, 3], [1, -1]])
    graph = sparse.csr_array(([1.0, 1.0], ([0, 1], [1, 0])), shape=(4, 4))
    assert diagnose(paths, graph) == {
        "items": 4,
        "isolated": 2,
        "leaves": 3,
        "smallest": 1,
        "median": 1.0,
        "largest": 2,
        "items_by_depth": [1, 3],
        "prefixes": [2, 2],
    }


def test_what_the_tree_looks_like_is_told_and_kept(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    AssetStore(tmp_path).get(CooccurrenceClusters(branching=2, leaf=4), dataset)
    (folder,) = tmp_path.glob("clusters-2-4-*")
    assert json.loads((folder / "diagnostics.json").read_text())["items_by_depth"] == [8]
    assert "of twelve: 8 items (0 isolated) in 2 leaves of 4 to 4, median 4" in capsys.readouterr().out


@pytest.mark.slow
def test_a_shallow_tree_over_the_released_toys(released: Callable[[str], Dataset], tmp_path: Path) -> None:
    toys = released("toys")
    paths = AssetStore(tmp_path).get(CooccurrenceClusters(), toys)["paths"]
    assert (paths[~toys.warm] == -1).all()
    check_tree(paths[toys.warm], 20, 500)
    assert paths.shape[1] == 3
    # What a user takes next is in the same top cluster far more often than another item is.
    has_next = toys.validation.lengths > 0
    last = toys.train.values[toys.train.offsets[1:] - 1][has_next]
    following = toys.validation.values[toys.validation.offsets[:-1][has_next]]
    last, following = last[toys.warm[following]], following[toys.warm[following]]
    strangers = np.random.default_rng(0).permutation(following)
    same = (paths[last, 0] == paths[following, 0]).mean()
    assert same > 1.4 * (paths[last, 0] == paths[strangers, 0]).mean()

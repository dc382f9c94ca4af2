from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrec.assets import CooccurrenceClusters
from genrec.data import Dataset, Ragged, Synthetic
from genrec.errors import GenrecError
from genrec.testing import HISTORY
from genrec_baselines import CID

from .indexed import Indexed, begins_another, common

CLUSTERS = CooccurrenceClusters(branching=3, leaf=8)
COLD = [4, 5, 10, 11]


@pytest.fixture(scope="module")
def shop() -> Dataset:
    """Some 190 items, of which more are cold than a leaf holds."""
    return Synthetic(200, 200).load(".")


def new_items(*keys: str) -> pl.DataFrame:
    return pl.DataFrame({"item": list(keys)})


@pytest.mark.parametrize("vocabulary", ["shared", "per_level", "per_node"])
@pytest.mark.parametrize("last", ["sequential", "random"])
def test_identifiers_are_distinct_and_none_begins_another(
    shop: Dataset, tmp_path: Path, vocabulary: Any, last: Any
) -> None:
    assert (~shop.warm).sum() > CLUSTERS.leaf
    model = Indexed(CID(CLUSTERS, vocabulary, last), shop, tmp_path)
    model.check()
    assert not begins_another(model.codes)


def test_items_share_as_many_tokens_as_clusters(shop: Dataset, tmp_path: Path) -> None:
    model = Indexed(CID(CLUSTERS), shop, tmp_path)
    table = model.assets.built(CLUSTERS)["paths"]
    paths = [tuple(path[path >= 0].tolist()) for path in table]
    warm = np.flatnonzero(shop.warm)[::3].tolist()
    for first, second in combinations(warm, 2):
        assert common(model.codes[first], model.codes[second]) == common(paths[first], paths[second])
    for item in warm:
        assert model.codes[item][:-1] == paths[item]


def test_numbers_in_a_leaf_follow_the_rows(shop: Dataset, tmp_path: Path) -> None:
    model = Indexed(CID(CLUSTERS), shop, tmp_path)
    seen: dict[tuple[int, ...], int] = {}
    for item in np.flatnonzero(shop.warm).tolist():
        *path, number = model.codes[item]
        assert number == seen.get(tuple(path), 0)
        seen[tuple(path)] = number + 1
    assert max(seen.values()) <= 8


def test_random_numbers_are_the_same_every_time(shop: Dataset, tmp_path: Path) -> None:
    plain, drawn, again = (
        Indexed(CID(CLUSTERS, last=last), shop, tmp_path) for last in ("sequential", "random", "random")
    )
    assert drawn.codes == again.codes
    warm = np.flatnonzero(shop.warm)
    assert [drawn.codes[item][:-1] for item in warm] == [plain.codes[item][:-1] for item in warm]
    assert [drawn.codes[item][-1] for item in warm] != [plain.codes[item][-1] for item in warm]
    assert {drawn.codes[item][-1] for item in warm} == set(range(8))


def test_every_level_can_have_tokens_of_its_own(dataset: Dataset, tmp_path: Path) -> None:
    model = Indexed(CID(CooccurrenceClusters(2, 4), "per_level"), dataset, tmp_path)
    # Two cliques of four items each, so two levels of four tokens; four cold items.
    assert sorted(model.names[:4]) == sorted(f"{model.names[0][:4]}<B{number}>" for number in range(4))
    assert {name[:4] for name in model.names[:4] + model.names[6:10]} == {"<A0>", "<A1>"}
    assert [model.names[item] for item in COLD] == [f"<CIcold><B{number}>" for number in range(4)]
    assert len(model.identifier.names.tokens) == 2 * 4 + 1


def test_every_cluster_can_be_a_token(shop: Dataset, tmp_path: Path) -> None:
    model = Indexed(CID(CLUSTERS, "per_node"), shop, tmp_path)
    paths = model.assets.built(CLUSTERS)["paths"].tolist()
    clusters = {tuple(path[:level]) for path in paths for level in range(1, len(path) + 1) if path[level - 1] >= 0}
    tokens = [token.name for token in model.identifier.names.tokens]
    assert set(tokens[:-9]) == {f"<CI{'-'.join(map(str, cluster))}>" for cluster in clusters}
    assert len(set(tokens)) == len(tokens)
    assert tokens[-9:] == [*(f"<A{number}>" for number in range(8)), "<CIcold>"]
    shared = Indexed(CID(CLUSTERS), shop, tmp_path)
    for item, path in enumerate(paths):
        digits = [number for number in path if number >= 0]
        parts = ["-".join(map(str, digits[:level])) for level in range(1, len(digits) + 1)]
        number = shared.codes[item][-1]
        if parts:
            assert model.names[item] == "".join(f"<CI{part}>" for part in parts) + f"<A{number}>"
        else:
            assert model.names[item] == shared.names[item].replace("CI", "A").replace("Acold", "CIcold")
    model.add(new_items("new"))
    model.check()


def test_cold_items_are_numbered_in_a_branch_of_their_own(dataset: Dataset, tmp_path: Path) -> None:
    model = Indexed(CID(CooccurrenceClusters(2, 3)), dataset, tmp_path)
    # Four items take two digits to the base of 3.
    assert [model.names[item] for item in COLD] == [
        "<CIcold><CI0><CI0>",
        "<CIcold><CI0><CI1>",
        "<CIcold><CI0><CI2>",
        "<CIcold><CI1><CI0>",
    ]
    assert not any("cold" in name for row, name in enumerate(model.names) if row not in COLD)
    assert [token.name for token in model.identifier.names.tokens] == ["<CI0>", "<CI1>", "<CI2>", "<CIcold>"]


def test_cold_items_as_in_the_authors_code(dataset: Dataset, tmp_path: Path) -> None:
    model = Indexed(CID(CooccurrenceClusters(2, 3), cold="reference"), dataset, tmp_path)
    assert [model.names[item] for item in COLD] == ["<CI0>", "<CI1>", "<CI2>", "<CI3>"]
    assert len(model.identifier.names.tokens) == 4
    # They begin warm identifiers: only the closing word tells the two apart.
    model.check()
    assert begins_another(model.codes)
    with pytest.raises(GenrecError, match=r"has 4 tokens for 5 cold items: take `cold: branch`"):
        model.add(new_items("new"))


def test_random_numbers_of_the_authors_code_can_run_out(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match=r"has 3 tokens for 4 cold items"):
        Indexed(CID(CooccurrenceClusters(2, 3), last="random", cold="reference"), dataset, tmp_path)
    model = Indexed(CID(CooccurrenceClusters(2, 5), last="random", cold="reference"), dataset, tmp_path)
    assert {model.names[item] for item in COLD} < {f"<CI{number}>" for number in range(5)}


def test_only_training_decides_the_names_of_warm_items(dataset: Dataset, tmp_path: Path) -> None:
    other = Dataset(
        dataset.name,
        dataset.catalog,
        dataset.users,
        dataset.train,
        Ragged.from_lists([[0, 6, 10]] * 8),
        Ragged.from_lists([[5, 9]] * 8),
    )
    here, there = (Indexed(CID(CLUSTERS), each, tmp_path / str(n)) for n, each in enumerate((dataset, other)))
    assert here.names == there.names


def test_added_items_go_on_in_the_cold_branch(dataset: Dataset, tmp_path: Path) -> None:
    model = Indexed(CID(CooccurrenceClusters(2, 3)), dataset, tmp_path)
    before, tokens = model.names, model.identifier.names.reads.shape
    model.add(new_items("new1", "new2"))
    assert model.names[:12] == before
    # Numbers 4 and 5 to the base of 3.
    assert model.names[12:] == ["<CIcold><CI1><CI1>", "<CIcold><CI1><CI2>"]
    model.add(new_items(*(f"more{n}" for n in range(5))))
    assert model.names[:12] == before
    # Number 9 needs a third digit.
    assert model.names[16:18] == ["<CIcold><CI2><CI2>", "<CIcold><CI1><CI0><CI0>"]
    assert model.identifier.names.reads.shape == tokens
    model.check()
    assert sorted(model.rank(HISTORY, 19).items[0, 0].tolist()) == list(range(19))


def test_without_cold_items_added_ones_have_the_branch_for_themselves(dataset: Dataset, tmp_path: Path) -> None:
    train = Ragged.from_lists([[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]] * 4)
    warm = Dataset(dataset.name, dataset.catalog, dataset.users, train, dataset.validation, dataset.test)
    model = Indexed(CID(CooccurrenceClusters(2, 6), last="random"), warm, tmp_path)
    before = model.names
    model.add(new_items("new"))
    assert model.names == [*before, "<CIcold><CI0>"]


@pytest.mark.parametrize("kind", ["t5", "causal"])
def test_it_learns(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    Indexed(CID(CooccurrenceClusters(2, 3)), dataset, tmp_path, kind).check_learns()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toys", "beauty"])
def test_released_data(released: Callable[[str], Dataset], tmp_path: Path, name: str) -> None:
    data = released(name)
    model = Indexed(CID(), data, tmp_path)
    model.check()
    assert not begins_another(model.codes)
    assert len(model.identifier.names.tokens) == 501
    lengths = [len(code) for code, warm in zip(model.codes, data.warm, strict=True) if warm]
    assert (min(lengths), max(lengths)) == (2, 4)
    cold = [shown for shown, warm in zip(model.names, data.warm, strict=True) if not warm]
    # More than 500, so two digits.
    assert cold == [f"<CIcold><CI{number // 500}><CI{number % 500}>" for number in range(len(cold))]

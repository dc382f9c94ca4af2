"""Quantisers of embeddings as they are, by k-means and moving averages, and one that rounds to a grid."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from genrec.assets import FSQCodes, ItemCodes, PQCodes, RQKMeansCodes, RQVAECodes, RVQCodes, Training
from genrec.assets.codes.balance import share_out
from genrec.data import Catalog, Dataset, Ragged
from genrec.errors import GenrecError
from genrec.io.folders import folder_of
from genrec.testing import tiny_dataset

RESIDUAL = RQKMeansCodes(levels=3, size=8, seed=0)
PRODUCT = PQCodes(digits=4, size=8, dim=16, rotate=False, seed=0)
AVERAGES = RVQCodes(levels=3, size=8, steps=60, batch_size=64, seed=0)
GRID = FSQCodes(digits=3, grid=(3, 4), steps=100, batch_size=64, lr=5e-3, seed=0)
RECIPES = {
    "residual": RESIDUAL,
    "balanced": replace(RESIDUAL, balanced=True),
    "product": PRODUCT,
    "rotated": replace(PRODUCT, rotate=True),
    "plain": replace(PRODUCT, whiten=False),
    "averages": AVERAGES,
    "grid": GRID,
}
OPTIONAL = ("averages", "grid")
"""Those that need a package of their own."""


def items(n: int, warm: int) -> Dataset:
    """A catalogue of n items; the first of them were taken in training, by one user."""
    catalog = Catalog(pl.DataFrame({"item": [f"key{row}" for row in range(n)]}))
    later = Ragged.from_lists([[n - 1]])
    return Dataset(f"{n} items", catalog, ["user"], Ragged.from_lists([list(range(warm))]), later, later)


def vectors(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    """Strong and weak directions, and a mean that is not zero."""
    rng = np.random.default_rng(seed)
    scaled = rng.standard_normal((n, dim)) * np.linspace(2, 0.2, dim)
    return (scaled @ np.linalg.qr(rng.standard_normal((dim, dim)))[0] + 3).astype(np.float32)


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> ItemCodes:
    if request.param in OPTIONAL:
        pytest.importorskip("vector_quantize_pytorch")
    return RECIPES[request.param]


def test_codes_are_the_nearest_centres_and_those_of_added_items_too(recipe: ItemCodes, tmp_path: Path) -> None:
    text = vectors(300)
    built = recipe.build(items(300, 200), tmp_path, {"text": text})

    assert built["codes"].shape == (300, recipe.length)
    assert built["codes"].dtype == np.int64
    if recipe is not RECIPES["balanced"]:
        np.testing.assert_array_equal(recipe.encode({"text": text}, built), built["codes"])
    new = vectors(40, seed=1)
    found = recipe.encode({"text": new}, built)
    np.testing.assert_array_equal(found, slowly(recipe, new, built))
    # Nobody's codes depend on who comes with him.
    np.testing.assert_array_equal(recipe.encode({"text": new[7:9]}, built), found[7:9])
    assert recipe.encode({"text": new[:0]}, built).shape == (0, recipe.length)
    told = json.loads((tmp_path / "diagnostics.json").read_text())
    assert told["items"] == 300
    assert 0 < told["reconstruction"] < 1


def slowly(recipe: ItemCodes, table: np.ndarray, built: dict[str, np.ndarray]) -> np.ndarray:
    """One item and one level after another, in float64."""
    if isinstance(recipe, FSQCodes):
        return rounded(recipe, (table.astype(np.float64) - built["mean"]) / built["std"], built)
    found = []
    for row in table.astype(np.float64):
        rest, codes = row - built["mean"], []
        if isinstance(recipe, PQCodes):
            parts = np.split(built["axes"].astype(np.float64) @ rest, recipe.digits)
            codes = [cdist(part[None], each).argmin() for part, each in zip(parts, built["centres"], strict=True)]
        else:
            for book in built["codebooks"]:
                codes.append(cdist(rest[None], book).argmin())
                rest = rest - book[codes[-1]]
        found.append(codes)
    return np.array(found)


def rounded(recipe: FSQCodes, points: np.ndarray, built: dict[str, np.ndarray]) -> np.ndarray:
    """The encoder layer by layer, then the paper's formulas (Section 3.1), one number after another."""
    layers = sorted({int(name.split(".")[1]) for name in built if name.startswith("encoder.")})
    for layer in layers:
        points = points @ built[f"encoder.{layer}.weight"].T.astype(np.float64) + built[f"encoder.{layer}.bias"]
        points = points if layer == layers[-1] else np.maximum(points, 0)
    found = []
    for row in points.reshape(len(points), recipe.digits, len(recipe.grid)):
        codes = []
        for digit in row:
            code, step = 0, 1
            for number, values in zip(digit, recipe.grid, strict=True):
                half, offset = (values - 1) * 1.001 / 2, 0.5 * (values % 2 == 0)
                bounded = np.tanh(number + np.arctanh(offset / half)) * half - offset
                code, step = code + step * int(np.round(bounded) + values // 2), step * values
            codes.append(code)
        found.append(codes)
    return np.array(found)


def test_the_same_seed_makes_the_same_codes(recipe: ItemCodes, tmp_path: Path) -> None:
    one, two = (recipe.build(items(200, 200), tmp_path, {"text": vectors(200)}) for _ in range(2))

    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def test_a_catalogue_smaller_than_the_codebook(recipe: ItemCodes, tmp_path: Path) -> None:
    built = recipe.build(items(6, 6), tmp_path, {"text": vectors(6)})

    # Six items of six texts: all of them can be told apart.
    assert len(np.unique(built["codes"], axis=0)) == 6
    assert built["codes"].max() < recipe.size


def test_cold_items_are_named_after_the_warm(recipe: ItemCodes, tmp_path: Path) -> None:
    text = vectors(300)
    moved = text.copy()
    moved[200:] += 5
    warm = replace(recipe, fit_items="warm")  # type: ignore[type-var]
    one, two = (warm.build(items(300, 200), tmp_path, {"text": table}) for table in (text, moved))

    for name in one:
        if name != "codes":
            np.testing.assert_array_equal(one[name], two[name])
    assert (one["codes"][200:] != two["codes"][200:]).any()


def test_any_embeddings_by_name(recipe: ItemCodes, tmp_path: Path) -> None:
    image = replace(recipe, source="image")  # type: ignore[type-var]

    assert image.sources == ("image",)
    built = image.build(items(50, 50), tmp_path, {"image": vectors(50)})
    assert len(image.encode({"image": vectors(3)}, built)) == 3


def test_levels_go_from_coarse_to_fine_and_rotation_loses_less(tmp_path: Path) -> None:
    lost, plain = {}, {name: recipe for name, recipe in RECIPES.items() if name not in OPTIONAL}
    for name, recipe in {**plain, "rotated plain": replace(RECIPES["rotated"], whiten=False)}.items():
        recipe.build(items(1000, 1000), tmp_path, {"text": vectors(1000)})
        lost[name] = json.loads((tmp_path / "diagnostics.json").read_text())["reconstruction"]

    assert lost["rotated plain"] < 1.02 * lost["plain"]
    assert lost["residual"] <= lost["balanced"]
    replace(RESIDUAL, levels=1).build(items(1000, 1000), tmp_path, {"text": vectors(1000)})
    assert lost["residual"] < json.loads((tmp_path / "diagnostics.json").read_text())["reconstruction"]


def test_whitening_gives_every_direction_the_same_say(tmp_path: Path) -> None:
    text = vectors(500)
    built = PRODUCT.build(items(500, 500), tmp_path, {"text": text})

    np.testing.assert_allclose(np.cov(((text - built["mean"]) @ built["axes"].T).T), np.eye(16), atol=1e-3)


def test_directions_that_say_nothing_are_not_blown_up(tmp_path: Path) -> None:
    flat = vectors(300)
    flat[:, 8:] = 1
    built = PRODUCT.build(items(300, 300), tmp_path, {"text": flat})

    assert len(built["axes"]) == 8
    with pytest.raises(GenrecError, match="300 embeddings `text` of 16 numbers cannot be cut into 9 parts"):
        replace(PRODUCT, digits=9).build(items(300, 300), tmp_path, {"text": flat})


def test_balanced_levels_have_clusters_of_one_size(tmp_path: Path) -> None:
    built = RECIPES["balanced"].build(items(301, 301), tmp_path, {"text": vectors(301)})

    for column in built["codes"].T:
        assert set(np.bincount(column, minlength=8)) == {37, 38}


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_everybody_gets_a_seat_and_no_centre_two_more_than_another(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = share_out(rng.standard_normal((n, 3)), rng.standard_normal((k, 3)))

    counts = np.bincount(labels, minlength=k)
    assert counts.sum() == n
    assert len(counts) == k
    assert counts.max() - counts.min() <= 1


@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_nobody_wants_a_seat_that_would_rather_have_him(seats: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, centres = rng.standard_normal((seats * k, 3)), rng.standard_normal((k, 3))
    labels, cost = share_out(points, centres), cdist(points, centres)

    own = cost[np.arange(len(points)), labels]
    worst = np.array([own[labels == centre].max() for centre in range(k)])
    assert not ((cost < own[:, None] - 1e-9) & (cost < worst - 1e-9)).any()


@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_seats_go_to_whom_one_asking_after_another_would_give_them(n: int, k: int, seed: int) -> None:
    # Few places for points and centres, so that many are as near as others: the first point goes first.
    rng = np.random.default_rng(seed)
    points, centres = (rng.integers(0, 3, (count, 2)).astype(np.float64) for count in (n, k))

    assert share_out(points, centres).tolist() == _one_after_another(cdist(points, centres, "sqeuclidean"))


def _one_after_another(cost: np.ndarray) -> list[int]:
    """Gale and Shapley's matching as it is written: who has no seat asks his next centre, as long as there is one."""
    labels = [-1] * len(cost)
    for seats in (len(cost) // cost.shape[1], 1):
        taken: list[list[tuple[float, int]]] = [[] for _ in cost.T]
        asks = {point: list(cost[point].argsort(kind="stable")) for point, label in enumerate(labels) if label < 0}
        while seats and (point := next((one for one in asks if labels[one] < 0 and asks[one]), None)) is not None:
            centre = asks[point].pop(0)
            taken[centre] = sorted([*taken[centre], (cost[point, centre], point)])
            labels[point] = centre
            if len(taken[centre]) > seats:
                labels[taken[centre].pop()[1]] = -1
    return labels


def test_impossible_grids() -> None:
    with pytest.raises(GenrecError, match=r"at least 1 levels and 1 code"):
        PQCodes(digits=0)
    with pytest.raises(GenrecError, match="needs a power of two as size, such as 256, got 100"):
        PQCodes(size=100)
    with pytest.raises(GenrecError, match=r"at least 1 levels and 1 code"):
        RQKMeansCodes(levels=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FSQCodes(grid=()), r"the grid of FSQCodes has 3 values or more in each dimension, got \[\]"),
        (lambda: FSQCodes(grid=(8, 2)), r"the grid of FSQCodes has 3 values or more in each dimension, got \[8, 2\]"),
        (lambda: FSQCodes(digits=0), "at least 1 levels and 1 code"),
        (lambda: FSQCodes(digits=2, grid=(1000, 1000)), "1,048,576 codes in all at most"),
        (lambda: RVQCodes(decay=1.0), "shares from 0 to below 1 as decay and reset_below, got decay=1.0"),
        (lambda: RVQCodes(steps=0), "`steps` of RVQCodes is 0: give 1 or more"),
    ],
)
def test_impossible_settings(make: Callable[[], ItemCodes], message: str) -> None:
    with pytest.raises(GenrecError, match=message):
        make()


@pytest.mark.parametrize("recipe", [AVERAGES, GRID], ids=lambda recipe: recipe.name)
def test_without_its_package_a_recipe_says_how_to_get_it(
    recipe: ItemCodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)
    with pytest.raises(GenrecError, match=rf"{type(recipe).__name__} needs .* pip install 'genrec\[quantize\]'"):
        recipe.build(items(20, 20), tmp_path, {"text": vectors(20)})


def test_averages_come_to_rest_in_the_middle_of_their_items(tmp_path: Path) -> None:
    pytest.importorskip("vector_quantize_pytorch")
    text = vectors(400)
    still = replace(AVERAGES, levels=1, decay=0.5, reset_below=0.0, batch_size=400, steps=60)
    built = still.build(items(400, 400), tmp_path, {"text": text})

    (book,), codes = built["codebooks"], built["codes"][:, 0]
    for code in range(8):
        np.testing.assert_allclose(book[code], (text - built["mean"])[codes == code].mean(0), atol=1e-3)
    # As good as k-means, which looks at all items at once.
    averages = json.loads((tmp_path / "diagnostics.json").read_text())["reconstruction"]
    replace(RESIDUAL, levels=1).build(items(400, 400), tmp_path, {"text": text})
    assert averages < 1.1 * json.loads((tmp_path / "diagnostics.json").read_text())["reconstruction"]


def test_centres_that_nobody_uses_start_again(tmp_path: Path) -> None:
    pytest.importorskip("vector_quantize_pytorch")
    # Half of the centres begin on a few far points that come in none of the later batches but one.
    heap = np.random.default_rng(0).standard_normal((600, 4)) * 0.01
    far = np.random.default_rng(1).standard_normal((12, 4)) * 50
    text = np.concatenate([heap, far]).astype(np.float32)
    used = {}
    for reset in (0.0, 0.2):
        recipe = replace(AVERAGES, levels=1, size=32, batch_size=153, steps=200, decay=0.8, reset_below=reset)
        built = recipe.build(items(612, 612), tmp_path, {"text": text})
        used[reset] = len(np.unique(built["codes"][:600]))

    assert used[0.2] > used[0.0]


def test_codes_are_made_by_one_process_while_others_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("vector_quantize_pytorch.vector_quantize_pytorch")
    # As it would be in a training of several: asking the others would fail here, and would never end there.
    monkeypatch.setattr(library, "is_distributed", lambda: True)
    assert len(AVERAGES.build(items(100, 100), tmp_path, {"text": vectors(100)})["codes"]) == 100


TRAINED = RQVAECodes(size=8, dim=4, training=Training(steps=5, seed=0))


@pytest.mark.parametrize("recipe", [AVERAGES, GRID, TRAINED], ids=lambda recipe: recipe.name)
def test_the_random_state_is_left_alone(recipe: ItemCodes, tmp_path: Path) -> None:
    pytest.importorskip("vector_quantize_pytorch")
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    built = recipe.build(items(30, 30), tmp_path, {"text": vectors(30)})
    recipe.encode({"text": vectors(3)}, built)
    assert torch.equal(torch.rand(3), expected)


def test_no_more_items_are_fitted_to_than_is_said(recipe: ItemCodes, tmp_path: Path) -> None:
    text = vectors(300)
    few = replace(recipe, items=50)  # type: ignore[type-var]
    built = few.build(items(300, 300), tmp_path, {"text": text})
    chosen = np.sort(np.random.default_rng(0).choice(300, 50, replace=False))

    np.testing.assert_allclose(built["mean"], text[chosen].mean(0), atol=1e-5)
    assert len(built["codes"]) == 300


@pytest.mark.parametrize(
    ("recipe", "folder"),
    [
        (RVQCodes(), "codes-rvq-be383b21746260e5"),
        (RVQCodes(fit_items="warm"), "codes-rvq-03d2c2127b0aa27d"),
        (FSQCodes(), "codes-fsq-483f31afcc65578c"),
        (FSQCodes(fit_items="warm"), "codes-fsq-bcba4b4854a221ff"),
        (RQKMeansCodes(), "codes-rqkmeans-7c6de4945000636a"),
        (RQKMeansCodes(fit_items="warm"), "codes-rqkmeans-a70499e370678cd1"),
        (PQCodes(), "codes-pq-a1e022efcece8f62"),
        (PQCodes(fit_items="warm"), "codes-pq-12bd74b9b6b2821c"),
    ],
)
def test_codes_that_were_made_are_found_again(recipe: ItemCodes, folder: str) -> None:
    """Whatever the order in which a recipe has its parameters."""
    fingerprint = {"asset": recipe.name, **recipe.fingerprint(tiny_dataset())}
    assert folder_of(Path(), recipe.name, fingerprint).name == folder

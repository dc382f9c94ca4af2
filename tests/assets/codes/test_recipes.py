from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.cluster import KMeans

from genrec.assets import Assets, LETTERCodes, ReleasedCF, RQVAECodes, TfidfText, Training, encode
from genrec.assets.codes import fitting, rqvae
from genrec.assets.codes.rqvae import RQVAE, quantize
from genrec.data import Catalog, Dataset, Ragged
from genrec.errors import GenrecError

Arrays = dict[str, np.ndarray]

SHORT = Training(steps=30, batch_size=64, evaluate_every=10, reset_every=10, seed=0)
ONCE = replace(SHORT, steps=1)
TIGER = RQVAECodes(levels=3, size=16, dim=8, training=SHORT)
LETTER = LETTERCodes(levels=3, size=16, training=SHORT)


def items(n: int, warm: int) -> Dataset:
    """A catalogue of n items; the first of them were taken in training, by one user."""
    catalog = Catalog(pl.DataFrame({"item": [f"key{row}" for row in range(n)]}))
    later = Ragged.from_lists([[n - 1]])
    return Dataset(f"{n} items", catalog, ["user"], Ragged.from_lists([list(range(warm))]), later, later)


def clustered(n: int, dim: int, kinds: int, seed: int = 0) -> np.ndarray:
    """Vectors that are sums of a coarse, a finer and a fine part, each of one of some kinds, and a little noise."""
    rng = np.random.default_rng(seed)
    parts = [scale * rng.standard_normal((kinds, dim))[rng.integers(kinds, size=n)] for scale in (1.0, 0.6, 0.36)]
    return (sum(parts) + 0.05 * rng.standard_normal((n, dim))).astype(np.float32)


def noise(n: int, dim: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def distinct(codes: np.ndarray) -> bool:
    return len(np.unique(codes, axis=0)) == len(codes)


@dataclass(frozen=True)
class Built:
    text: np.ndarray
    arrays: Arrays
    told: dict


def build(recipe: RQVAECodes | LETTERCodes, folder: Path, text: np.ndarray, cf: np.ndarray, warm: int) -> Built:
    arrays = recipe.build(items(len(text), warm), folder, {"text": text, "cf": cf})
    return Built(text, arrays, json.loads((folder / "diagnostics.json").read_text()))


@pytest.fixture(scope="module")
def thousands(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """TIGER's codes, 3 x 256, of 2,000 clustered vectors."""
    training = Training(steps=300, batch_size=256, lr=3e-3, evaluate_every=50, reset_every=25, seed=0)
    text = clustered(2000, dim=32, kinds=32)
    return build(RQVAECodes(training=training), tmp_path_factory.mktemp("built"), text, text, 1000)


@pytest.fixture(scope="module")
def tiger(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(TIGER, tmp_path_factory.mktemp("built"), clustered(150, 10, 6), noise(150, 6), 100)


@pytest.fixture(scope="module")
def letter(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """LETTER's codes of 150 items, the last 20 of which are one and the same: more than the 16 last codes."""
    text = clustered(150, 10, 6)
    text[130:] = text[130]
    return build(LETTER, tmp_path_factory.mktemp("built"), text, noise(150, 6), 100)


@pytest.mark.slow
def test_codes_are_as_good_as_three_levels_should_be(thousands: Built) -> None:
    scaled = (thousands.text - thousands.text.mean(0)) / thousands.text.std(0)
    single = KMeans(256, n_init=1, random_state=0).fit(scaled).inertia_ / scaled.size
    assert thousands.told["reconstruction"] < 0.5 * single
    assert thousands.told["used"][0] >= 0.8
    assert thousands.told["collision_rate"] < 0.05


@pytest.mark.slow
def test_residuals_shrink_after_training(thousands: Built) -> None:
    network = RQVAE.load(thousands.arrays)
    with torch.no_grad():
        quantized = quantize(network.latents(torch.from_numpy(thousands.text)), network.codebooks)
    norms = quantized.residuals.square().sum(2).mean(0)
    assert (norms.diff() < 0).all()


@pytest.mark.slow
def test_codes_are_the_nearest_of_a_fresh_encoding(thousands: Built, tiger: Built) -> None:
    for built in (thousands, tiger):
        codes = built.arrays["codes"]
        assert codes.shape == (len(built.text), 3)
        assert codes.dtype == np.int64
        np.testing.assert_array_equal(encode(built.arrays, built.text), codes)


def test_the_order_of_items_does_not_matter_to_the_nearest_codes(tiger: Built) -> None:
    order = np.random.default_rng(0).permutation(150)
    np.testing.assert_array_equal(encode(tiger.arrays, tiger.text[order]), tiger.arrays["codes"][order])


def test_items_of_the_same_text_share_tigers_codes(tmp_path: Path) -> None:
    text = clustered(40, 10, 6)
    text[35:] = text[35]
    codes = build(TIGER, tmp_path, text, text, 20).arrays["codes"]
    assert len(np.unique(codes[35:], axis=0)) == 1


def test_letters_codes_are_all_different(letter: Built) -> None:
    codes = letter.arrays["codes"]
    assert codes.shape == (150, 3)
    assert codes.dtype == np.int64
    assert codes.min() >= 0
    assert codes.max() < 16
    assert distinct(codes)
    assert letter.told["collision_rate"] == 0
    assert letter.told["nearest"]["largest_group"] >= 20
    # 20 equal items cannot all stay behind one prefix.
    assert letter.told["moved_to_another_prefix"] >= 20 - 16


@cache
def five_alike() -> np.ndarray:
    text = clustered(60, 10, 6)
    text[[3, 14, 15, 35, 59]] = text[3]
    return text


@pytest.mark.parametrize("epsilon", [0.0, 0.003])
def test_five_items_of_the_same_text_get_letter_codes_of_their_own(tmp_path: Path, epsilon: float) -> None:
    arrays = build(replace(LETTER, epsilon=epsilon), tmp_path, five_alike(), noise(60, 6), 40).arrays
    assert distinct(arrays["codes"])
    np.testing.assert_array_equal(*arrays["codes"][[3, 14], :2])


def test_an_even_last_level_gives_tigers_codes_to_one_item_each(tmp_path: Path) -> None:
    even = replace(TIGER, epsilon=0.003)
    built = build(even, tmp_path, five_alike(), five_alike(), 40)
    assert even.unique
    assert not TIGER.unique
    assert distinct(built.arrays["codes"])
    assert built.told["nearest"]["largest_group"] >= 5
    assert (encode(built.arrays, five_alike()) != built.arrays["codes"]).any(1).sum() >= 4
    new = five_alike()[:9]
    codes = even.encode({"text": new}, built.arrays)
    assert distinct(np.concatenate([built.arrays["codes"], codes]))


def test_letters_codes_differ_from_the_nearest_only_where_those_collide(letter: Built) -> None:
    nearest = encode(letter.arrays, letter.text)
    told, changed = letter.told, (nearest != letter.arrays["codes"]).any(1)
    assert told["nearest"]["collision_rate"] == 1 - len(np.unique(nearest, axis=0)) / 150
    assert 0 < changed.sum() <= told["moved_by_transport"] + told["moved_to_free_codes"]


@pytest.mark.parametrize("projection", ["pca", "linear"])
def test_letter_takes_collaborative_embeddings_of_any_width(tmp_path: Path, projection: str) -> None:
    recipe = replace(LETTER, dim=5, projection=projection)
    arrays = build(recipe, tmp_path, clustered(60, 10, 6), noise(60, 6), 40).arrays
    assert arrays["codebooks"].shape == (3, 16, 5)
    with pytest.raises(GenrecError, match="latents of 5 numbers cannot be aligned"):
        build(replace(recipe, projection="none"), tmp_path, clustered(60, 10, 6), noise(60, 6), 40)


def test_letter_needs_a_level_to_repair() -> None:
    with pytest.raises(GenrecError, match="at least 2 levels"):
        LETTERCodes(levels=1)
    with pytest.raises(GenrecError, match="at least 2 levels"):
        RQVAECodes(levels=1, epsilon=0.003)
    with pytest.raises(GenrecError, match="`epsilon` of RQVAECodes is -1: give 0 or more"):
        RQVAECodes(epsilon=-1)


@pytest.mark.slow
def test_diversity_does_not_cost_the_first_level_its_evenness(tmp_path: Path) -> None:
    # Unused codes are not replaced here: their number is what diversity is about.
    recipe = replace(LETTER, alpha=0.0, training=replace(SHORT, steps=100, batch_size=100, reset_every=0))
    text, cf = clustered(300, 10, 8), noise(300, 6)
    plain, diverse = (build(replace(recipe, beta=beta), tmp_path, text, cf, 200) for beta in (0.0, 0.01))
    assert diverse.told["nearest"]["entropy"][0] >= 0.98 * plain.told["nearest"]["entropy"][0]
    assert not np.array_equal(plain.arrays["codebooks"], diverse.arrays["codebooks"])


def test_what_cold_items_have_of_collaborative_embeddings_changes_nothing(tmp_path: Path) -> None:
    text, cf = clustered(80, 10, 6), noise(80, 6)
    other = cf.copy()
    other[50:] *= 100
    first, second = (build(LETTER, tmp_path, text, table, 50).arrays for table in (cf, other))
    np.testing.assert_array_equal(first["codes"], second["codes"])
    np.testing.assert_array_equal(first["codebooks"], second["codebooks"])
    other[0] *= -1
    third = build(LETTER, tmp_path, text, other, 50).arrays
    assert not np.array_equal(first["codebooks"], third["codebooks"])


def test_a_tokenizer_of_warm_items_never_sees_the_others(tmp_path: Path) -> None:
    recipe, text = replace(TIGER, fit_items="warm"), clustered(80, 10, 6)
    other = text.copy()
    other[50:] += 1
    first, second = (build(recipe, tmp_path, table, table, 50).arrays for table in (text, other))
    for name in first.keys() - {"codes"}:
        np.testing.assert_array_equal(first[name], second[name])
    np.testing.assert_array_equal(first["codes"][:50], second["codes"][:50])
    assert len(second["codes"]) == 80
    everything = build(TIGER, tmp_path, text, text, 50).arrays
    assert not np.array_equal(everything["mean"], first["mean"])


def test_new_items_get_the_nearest_codes_from_tiger(tiger: Built) -> None:
    new = clustered(9, 10, 6, seed=5)
    np.testing.assert_array_equal(TIGER.encode({"text": new}, tiger.arrays), encode(tiger.arrays, new))


def test_new_items_get_free_codes_from_letter(letter: Built) -> None:
    new = np.concatenate([letter.text[:5], letter.text[:5], clustered(9, 10, 6, seed=5)])
    codes = LETTER.encode({"text": new}, letter.arrays)
    assert distinct(np.concatenate([letter.arrays["codes"], codes]))
    nearest = encode(letter.arrays, new)
    there = {tuple(row) for row in letter.arrays["codes"].tolist()}
    for wanted, given in zip(nearest.tolist(), codes.tolist(), strict=True):
        assert given == wanted or tuple(wanted) in there
        there.add(tuple(given))
    np.testing.assert_array_equal(LETTER.encode({"text": new[:7]}, letter.arrays), codes[:7])


def test_a_collapse_is_loud(tmp_path: Path) -> None:
    # All items but three are alike: at most four codes can be used.
    text = np.zeros((400, 6), dtype=np.float32)
    text[:3] = noise(3, 6)
    with pytest.warns(
        UserWarning, match=r"the codes have collapsed: of 64 codes, level 1 uses \d, level 2 .* for 400 items"
    ):
        build(replace(TIGER, size=64), tmp_path, text, text, 200)


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    return Assets(TfidfText(dim=6), ReleasedCF(), root=str(tmp_path / "assets"))


def folders(tmp_path: Path, kind: str) -> list[Path]:
    return sorted((tmp_path / "assets").glob(f"{kind}-*"))


@pytest.mark.parametrize("recipe", [TIGER, LETTER], ids=["tiger", "letter"])
def test_codes_are_built_once_and_kept_with_what_is_known_of_them(
    assets: Assets, dataset: Dataset, recipe: RQVAECodes | LETTERCodes, tmp_path: Path
) -> None:
    first = assets.bind(dataset).codes(recipe)
    assert first.shape == (12, 3)
    assert first.dtype == torch.long
    (folder,) = folders(tmp_path, recipe.name)
    told = json.loads((folder / "diagnostics.json").read_text())
    assert told["items"] == 12
    assert "diagnostics.json" in json.loads((folder / "manifest.json").read_text())["files"]
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert torch.equal(assets.bind(dataset).codes(recipe), first)
    assert (folder / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("recipe", [TIGER, LETTER], ids=["tiger", "letter"])
def test_new_items_stand_behind_the_old_ones(
    assets: Assets, dataset: Dataset, recipe: RQVAECodes | LETTERCodes
) -> None:
    old = assets.bind(dataset)
    titles = ["red train number 0", "red train number 0", "a blue boat"]
    both = dataset.catalog.extend(pl.DataFrame({"item": ["a", "b", "c"], "title": titles}))
    one = dataset.catalog.extend(pl.DataFrame({"item": ["a"], "title": titles[:1]}))
    grown = old.extend(both).codes(recipe)
    assert torch.equal(grown[:12], old.codes(recipe))
    assert torch.equal(grown[:13], old.extend(one).codes(recipe))
    assert len(grown) == 15
    assert (len(grown.unique(dim=0)) == 15) == isinstance(recipe, LETTERCodes)


def test_other_embeddings_or_settings_are_other_codes(dataset: Dataset, tmp_path: Path) -> None:
    root = str(tmp_path / "assets")
    catalog = Catalog(dataset.catalog.items.with_columns(title=pl.lit("one more") + pl.col("title")))
    renamed = Dataset("twelve", catalog, dataset.users, dataset.train, dataset.validation, dataset.test, dataset.cf)
    other_users = Dataset(
        "twelve", dataset.catalog, dataset.users, dataset.test, dataset.validation, dataset.test, dataset.cf
    )
    text, cf = TfidfText(dim=6), ReleasedCF()
    tiger, letter = replace(TIGER, training=ONCE), replace(LETTER, training=ONCE)
    for data, encoder, table, recipe in [
        (dataset, text, cf, tiger),
        (renamed, text, cf, tiger),
        (dataset, TfidfText(dim=5), cf, tiger),
        (dataset, text, cf, replace(tiger, training=replace(ONCE, seed=1))),
        # TIGER knows nothing of behaviour, unless it leaves cold items out.
        (other_users, text, ReleasedCF(cold="zero"), tiger),
        (dataset, text, cf, replace(tiger, fit_items="warm")),
        (other_users, text, cf, replace(tiger, fit_items="warm")),
    ]:
        Assets(encoder, table, root).bind(data).codes(recipe)
    assert len(folders(tmp_path, "codes-rqvae")) == 4 + 2
    for data, table in [(dataset, cf), (other_users, cf), (dataset, ReleasedCF(cold="zero"))]:
        Assets(text, table, root).bind(data).codes(letter)
    assert len(folders(tmp_path, "codes-letter")) == 3


def test_embeddings_that_are_not_configured_are_asked_for(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match=r"give `assets\.text`"):
        Assets(cf=ReleasedCF(), root=str(tmp_path)).bind(dataset).codes(TIGER)
    text = TfidfText(dim=6)
    assert len(Assets(text, root=str(tmp_path)).bind(dataset).codes(TIGER)) == 12
    with pytest.raises(GenrecError, match=r"give `assets\.cf`"):
        Assets(text, root=str(tmp_path)).bind(dataset).codes(LETTER)


@pytest.mark.parametrize("recipe", [TIGER, LETTER])
def test_a_sample_is_trained_on_and_all_get_codes(
    recipe: RQVAECodes | LETTERCodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(fitting, "initialize", lambda network, text, *others: seen.append(len(text)))
    text, cf = clustered(90, 12, 3), noise(90, 32)
    for most in (90, 40):
        sampled = replace(recipe, training=replace(ONCE, items=most))
        built = build(sampled, tmp_path, text, cf, warm=70)
        assert len(built.arrays["codes"]) == built.told["items"] == 90
    assert seen == [90, 40]


def test_who_is_in_a_sample_is_drawn_once() -> None:
    rows = np.arange(0, 3_000, 3)
    sample = replace(ONCE, items=100).sample(rows)
    assert sample.tolist() == sorted(set(sample.tolist()) & set(rows.tolist()))
    assert len(sample) == 100
    assert 1_000 < sample.mean() < 2_000
    assert sample.tolist() == replace(ONCE, items=100).sample(rows).tolist() != rows[:100].tolist()
    assert replace(ONCE, items=1_000).sample(rows) is rows
    with pytest.raises(GenrecError, match="`items` of Training is 0"):
        Training(items=0)


def test_items_are_encoded_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network, text = RQVAE(12, 3, 16, 8), torch.from_numpy(noise(50, 12))
    torch.nn.init.normal_(network.codebooks)
    codes, latents = network.codes(text), network.latents(text)
    held: list[int] = []
    network.encoder.register_forward_hook(lambda module, inputs, output: held.append(len(output)))
    monkeypatch.setattr(rqvae, "CHUNK", 16)
    assert torch.equal(network.codes(text), codes)
    torch.testing.assert_close(network.latents(text), latents)
    assert max(held) == 16
    assert network.codes(text[:0]).shape == (0, 3)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Callable[[RQVAECodes | LETTERCodes], Built]:
    """The codes of a recipe as it is."""
    text, cf = clustered(120, 12, kinds=6), noise(120, 8)
    return cache(lambda recipe: build(recipe, tmp_path_factory.mktemp("built"), text, cf, warm=120))


@pytest.mark.parametrize("changed", [{"initial": "items"}, {"initial": "uniform"}, {"gradient": "rotation"}], ids=str)
@pytest.mark.parametrize("recipe", [TIGER, LETTER], ids=["TIGER", "LETTER"])
def test_where_codebooks_begin_and_how_the_encoder_learns_are_keys_of_both(
    recipe: RQVAECodes | LETTERCodes,
    changed: dict[str, str],
    untouched: Callable[[RQVAECodes | LETTERCodes], Built],
    tmp_path: Path,
) -> None:
    other = replace(recipe, training=replace(SHORT, **changed))
    before = untouched(recipe)
    after = build(other, tmp_path, before.text, noise(120, 8), warm=120)

    assert not np.array_equal(before.arrays["codebooks"], after.arrays["codebooks"])
    assert before.told["first"].keys() == after.told["first"].keys()
    # The estimator decides what is learned, not what is chosen at first.
    assert (before.told["first"] == after.told["first"]) == ("gradient" in changed)
    assert other.fingerprint(items(120, 120)) != recipe.fingerprint(items(120, 120))

"""The paired bootstrap, and which runs can be compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import kstest

from genrec.analysis.compare import FEWEST, command, compare, paired_bootstrap
from genrec.errors import GenrecError
from genrec.evaluation import ranks
from genrec.runs import layout
from genrec.runs.results import Run, load_run

NAMES = ["recall@5", "ndcg@5"]


def bootstrap(differences: np.ndarray, samples: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return paired_bootstrap(differences, samples, np.random.default_rng(seed))


# The method


def slow_bootstrap(differences: list[float], samples: int, seed: int) -> tuple[float, float, float]:
    """One metric, user by user."""
    users = len(differences)
    draws = np.random.default_rng(seed).integers(users, size=(samples, users))
    observed = sum(differences) / users
    means, as_far = [], 1
    for sample in draws:
        mean = sum(differences[user] for user in sample) / users
        means.append(mean)
        as_far += abs(mean - observed) >= abs(observed) - 1e-12
    means.sort()
    ends = []
    for share in (0.025, 0.975):
        place = share * (samples - 1)
        below = int(place)
        ends.append(means[below] + (place - below) * (means[min(below + 1, samples - 1)] - means[below]))
    return ends[0], ends[1], as_far / (samples + 1)


def test_as_a_slow_loop() -> None:
    differences = np.random.default_rng(1).normal(0.3, 1, (7, 3)).round(1)
    got = np.stack(bootstrap(differences, samples=200, seed=5))
    for metric in range(3):
        expected = slow_bootstrap(differences[:, metric].tolist(), 200, 5)
        np.testing.assert_allclose(got[:, metric], expected, atol=1e-12)


def test_samples_in_parts_are_the_same_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(1).normal(size=(20, 2))
    whole = bootstrap(differences, samples=50)
    monkeypatch.setattr("genrec.analysis.compare._CELLS", 20 * 7)
    np.testing.assert_allclose(np.stack(bootstrap(differences, samples=50)), np.stack(whole), atol=1e-12)


def test_without_a_difference_p_is_uniform() -> None:
    rng = np.random.default_rng(0)
    # Every column is an experiment of its own: users who gain or lose the same, many who do neither.
    differences = rng.choice([-1.0, 0.0, 1.0], (100, 400), p=[0.3, 0.4, 0.3]) * rng.random((100, 400))
    low, high, p = bootstrap(differences, samples=999)
    assert kstest(p, "uniform").pvalue > 0.01
    assert 0.02 < (p < 0.05).mean() < 0.09
    assert 0.91 < ((low < 0) & (high > 0)).mean() < 0.98, "the interval covers the truth"


def test_a_clear_difference() -> None:
    differences = np.random.default_rng(0).normal(0.5, 1, (200, 1))
    low, high, p = bootstrap(differences, samples=5000)
    assert p < 0.001
    assert 0 < low < differences.mean() < high
    # A normal mean: 1.96 standard errors to either side.
    error = differences.std() / np.sqrt(200)
    np.testing.assert_allclose(high - low, 2 * 1.96 * error, rtol=0.05)


def test_the_other_way_round_is_the_same_with_the_other_sign() -> None:
    differences = np.random.default_rng(0).normal(0.1, 1, (30, 2))
    low, high, p = bootstrap(differences)
    other_low, other_high, other_p = bootstrap(-differences)
    np.testing.assert_allclose(other_low, -high, atol=1e-12)
    np.testing.assert_allclose(other_high, -low, atol=1e-12)
    np.testing.assert_array_equal(other_p, p)


def test_the_same_twice_is_no_difference() -> None:
    low, high, p = bootstrap(np.zeros((30, 1)))
    assert (low, high, p) == (0, 0, 1)


# Runs


def frame(seed: int, users: int = 60) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    warm = np.arange(2 * users) % 3 > 0
    places = rng.integers(0, 6, (3, 2 * users))
    return pl.DataFrame(
        {
            "user": np.repeat([f"user{user:02}" for user in range(users)], 2),
            "item": [f"item{row % 2}" for row in range(2 * users)],
            "group": np.where(warm, 1 + np.arange(2 * users) % 4, 5),
            "rank_all": places[0],
            "rank_warm": pl.Series(places[1]).zip_with(pl.Series(warm), pl.Series([None], dtype=pl.Int64)),
            "rank_cold": pl.Series(places[2]).zip_with(pl.Series(~warm), pl.Series([None], dtype=pl.Int64)),
        }
    )


def run(
    folder: Path, frame: pl.DataFrame, dataset: str = "toys", method: str = "SETRec", names: list[str] = NAMES
) -> Run:
    ranks.write(folder / layout.RANKS, frame.lazy())
    results = {
        "dataset": dataset,
        "method": method,
        "split": "test",
        "users": frame["user"].n_unique(),
        "items": 10,
        "settings": ranks.means(frame, names),
        "seconds": {"fit": None, "rank": 1.0},
    }
    (folder / "metrics.json").write_text(json.dumps(results))
    return load_run(folder)


def test_every_metric_of_every_setting(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", frame(0)), run(tmp_path / "b", frame(1).sample(fraction=1, shuffle=True, seed=0))
    found = compare(a, b, samples=300, seed=3)
    assert [(one.setting, one.metric) for one in found] == [
        (setting, name) for setting in ("all", "warm", "cold", "G1", "G2", "G3", "G4", "G5") for name in NAMES
    ]
    for one in found:
        assert one.a == pytest.approx(a.results["settings"][one.setting][one.metric])
        assert one.b == pytest.approx(b.results["settings"][one.setting][one.metric])
        assert one.users == a.results["settings"][one.setting]["users"]
        assert one.low <= one.b - one.a <= one.high
    # Users are paired by their key, whatever the order of the rows.
    values = [ranks.user_metrics(frame(seed), "cold", NAMES) for seed in (0, 1)]
    low, high, p = bootstrap(values[1] - values[0], 300, 3)
    cold = [one for one in found if one.setting == "cold"]
    assert [(one.low, one.high, one.p) for one in cold] == [
        pytest.approx(row) for row in zip(low, high, p, strict=True)
    ]


def test_a_few_users_prove_nothing(tmp_path: Path) -> None:
    few = FEWEST - 1
    found = compare(*(run(tmp_path / str(seed), frame(seed, few)) for seed in (0, 1)), samples=50)
    assert all(np.isnan([one.low, one.high, one.p]).all() for one in found)
    assert found[0].users == few


def test_a_setting_without_users_is_left_out(tmp_path: Path) -> None:
    without = [frame(seed).filter(pl.col("rank_cold").is_null()) for seed in (0, 1)]
    found = compare(*(run(tmp_path / str(seed), without[seed]) for seed in (0, 1)), samples=50)
    assert {one.setting for one in found} == {"all", "warm", "G1", "G2", "G3", "G4"}


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    a = run(tmp_path / "a", frame(0))
    with pytest.raises(GenrecError, match="`toys` and `beauty`"):
        compare(a, run(tmp_path / "beauty", frame(0), "beauty"))
    with pytest.raises(GenrecError, match="same users and targets of `toys` \\(4 pairs"):
        compare(a, run(tmp_path / "fewer", frame(0).slice(4)))
    with pytest.raises(GenrecError, match="popularity groups"):
        compare(a, run(tmp_path / "groups", frame(0).with_columns(group=6 - pl.col("group"))))
    with pytest.raises(GenrecError, match="recall@5, ndcg@5 and recall@3"):
        compare(a, run(tmp_path / "ks", frame(0), names=["recall@3"]))


def test_what_both_have_measured_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = frame(0).with_columns(pl.col("^rank_.*$").name.map(lambda name: name + ranks.NEW), pl.col("^rank_.*$"))
    run(tmp_path / "a", more, names=[*NAMES, "mrr@5"])
    run(tmp_path / "b", frame(1))
    command([str(tmp_path / "b"), str(tmp_path / "a"), "--samples", "50"])
    printed = capsys.readouterr().out
    assert "B alone has measured mrr@5, " in printed
    for name in ("all-new", "warm-new", "cold-new"):
        assert name in next(line for line in printed.splitlines() if line.startswith("B alone"))
    assert "A alone" not in printed
    a, b = (load_run(tmp_path / name) for name in "ab")
    assert [(one.setting, one.metric) for one in compare(a, b, samples=50)] == [
        (setting, name) for setting in ("all", "warm", "cold", "G1", "G2", "G3", "G4", "G5") for name in NAMES
    ]


def test_ranks_that_belong_to_other_results(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a", frame(0)), run(tmp_path / "b", frame(1))
    ranks.write(tmp_path / "b" / layout.RANKS, frame(2).lazy())
    with pytest.raises(GenrecError, match="does not give the `all` metrics"):
        compare(a, b)
    (tmp_path / "b" / layout.RANKS).unlink()
    with pytest.raises(GenrecError, match="genrec test"):
        compare(a, b)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "a", frame(0), method="TIGER")
    run(tmp_path / "b", frame(0).with_columns(rank_all=pl.lit(1)))
    command([str(tmp_path / "a"), str(tmp_path / "b"), "--samples", "2000"])
    printed = capsys.readouterr().out
    assert "A: TIGER" in printed
    (line,) = [line for line in printed.splitlines() if "│ all     │ ndcg@5" in line]
    assert line.split("│")[-2].strip() == "0.0005", "1 / 2001"
    for wrong in (["--samples", "0"], ["--samples", "many"], ["--sample", "5"], ["--seed", "-1"]):
        with pytest.raises(GenrecError, match=wrong[0]):
            command([str(tmp_path / "a"), str(tmp_path / "b"), *wrong])
    with pytest.raises(GenrecError, match="RUN_B"):
        command([str(tmp_path / "a")])

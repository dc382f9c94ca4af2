"""Figures: that each is drawn, of what, and what cannot be drawn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.axes import Axes

from genrec.analysis.report import plots, report
from genrec.errors import GenrecError

PNG, PDF = b"\x89PNG", b"%PDF"


def run(folder: Path, alpha: float | str | None = None, ndcg: float = 0.5, seed: int = 0, **more: object) -> str:
    folder.mkdir(parents=True)
    groups = {f"G{group}": {"recall@10": 0.9, "ndcg@10": ndcg / group, "users": 3} for group in (1, 2, 3, 4, 5)}
    results = {
        "dataset": "toys",
        "method": "SETRec",
        "backbone": "new T5, d_model 8",
        "seed": seed,
        "split": "test",
        "users": 9,
        "items": 20,
        "settings": {"all": {"recall@10": 0.9, "ndcg@10": ndcg, "users": 9}, **groups},
        "seconds": {"fit": 1.0, "rank": 2.0 + ndcg},
        **more,
    }
    (folder / "metrics.json").write_text(json.dumps(results))
    if alpha is not None:
        config = {"model": {"init_args": {"identifier": {"init_args": {"alpha": alpha}}}}, "seed_everything": seed}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return str(folder)


def drawn(folder: Path) -> set[str]:
    for path in folder.iterdir():
        assert path.read_bytes().startswith(PNG if path.suffix == ".png" else PDF)
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[object], list[float], list[float], str]]:
    """What is drawn as points: x, y, deviations and the label."""
    found = []
    errorbar = Axes.errorbar

    def record(self: Axes, x: object, y: object, yerr: object, **options: object) -> object:
        x, y = (list(value) if hasattr(value, "__iter__") else [value] for value in (x, y))
        # Bars draw their deviations with it too, without a label.
        found.append((x, y, list(yerr), str(options["label"]).replace("_nolegend_", "bars")))  # type: ignore[call-overload]
        return errorbar(self, x, y, yerr=yerr, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Axes, "errorbar", record)
    return found


def test_groups_and_seconds(
    tmp_path: Path, points: list[tuple[object, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "plots"
    runs = [run(tmp_path / "a"), run(tmp_path / "b", method="TIGER", ndcg=0.25)]
    report([*runs, "--format", "csv", "--plots", str(folder)])
    said = capsys.readouterr()
    assert all(line.startswith(("dataset,", "toys,")) for line in said.out.splitlines()), "a table, and nothing else"
    assert {Path(line.removeprefix("wrote ")).name for line in said.err.splitlines()} == drawn(folder)
    names = ("settings", "groups", "seconds")
    assert drawn(folder) == {f"toys_{name}.{suffix}" for name in names for suffix in ("png", "pdf")}
    *beside, setrec, tiger = (point for point in points if point[3] == "bars")
    assert [point[:2] for point in beside] == [([0], [0.5]), ([1], [0.25])], "a bar each, of all items alone"
    seconds = [point for point in points if point[3] != "bars"]
    assert setrec[1] == [0.5 / group for group in (1, 2, 3, 4, 5)]
    assert tiger[1] == [0.25 / group for group in (1, 2, 3, 4, 5)]
    assert [(*x, *y, label) for x, y, _, label in seconds] == [(2.5, 0.5, "SETRec"), (2.25, 0.25, "TIGER")]
    assert all(np.isnan(deviation) for deviation in seconds[0][2]), "one training has no deviation"


def test_runs_without_groups(tmp_path: Path) -> None:
    settings = {"all": {"ndcg@10": 0.5, "users": 9}}
    report([run(tmp_path / "a", settings=settings), "--plots", str(tmp_path / "plots")])
    assert drawn(tmp_path / "plots") == {"toys_seconds.png", "toys_seconds.pdf"}


def test_a_sweep_has_a_point_for_every_value(tmp_path: Path, points: list[tuple[object, ...]]) -> None:
    runs = [
        run(tmp_path / f"{alpha}_{seed}", alpha, ndcg=alpha / 10 + seed / 10, seed=seed)
        for alpha in (0.9, 0.1, 0.5)
        for seed in (0, 1)
    ]
    options = ["--plots", str(tmp_path / "plots"), "--plot-over", "alpha", "--settings", "all,G2"]
    report([*runs, run(tmp_path / "popularity", method="Popularity", backbone=None), *options])
    assert {"toys_alpha.png", "toys_alpha.pdf"} <= drawn(tmp_path / "plots")
    all_items, group = points[-2:]
    assert all_items[0] == group[0] == [0.1, 0.5, 0.9]
    assert all_items[1] == pytest.approx([0.06, 0.1, 0.14])
    assert group[1] == pytest.approx([0.03, 0.05, 0.07])
    assert all_items[2] == pytest.approx([(0.05**2 + 0.05**2) ** 0.5] * 3)


def test_data_sets_of_one_name_have_figures_of_their_own(tmp_path: Path) -> None:
    report([run(tmp_path / "a"), run(tmp_path / "b", users=8), "--plots", str(tmp_path / "plots")])
    figures = {f"toys_test_{users}_users_20_items_{name}" for users in (8, 9) for name in ("groups", "seconds")}
    assert {Path(name).stem for name in drawn(tmp_path / "plots")} == figures


@pytest.mark.parametrize(
    ("values", "scale"), [((1e-4, 3e-4, 1e-3), "log"), ((0.1, 0.2, 0.3), "linear"), ((0, 1, 2), "linear")]
)
def test_values_that_double_are_on_a_logarithmic_axis(
    values: tuple[float, ...], scale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = []
    monkeypatch.setattr(plots, "write_new", lambda path, write: axes.append((path.name, write.__self__.axes[0])))
    runs = [run(tmp_path / str(value), value) for value in values]
    report([*runs, "--plots", str(tmp_path / "plots"), "--plot-over", "alpha"])
    assert dict(axes)["toys_alpha.png"].get_xscale() == scale
    seconds = dict(axes)["toys_seconds.png"]
    assert seconds.get_xscale() == "log"
    seconds.figure.draw_without_rendering()
    labels = [label.get_text() for label in seconds.get_xticklabels(which="both")]
    assert "2" in labels, "2.5 seconds lie between 2 and 5"


def test_many_powers_are_labelled_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {}
    monkeypatch.setattr(plots, "write_new", lambda path, write: figures.update({path.name: write.__self__}))
    runs = [
        run(tmp_path / f"{rank}", method=f"M{rank}", seconds={"fit": None, "rank": rank}) for rank in (0.01, 1, 400)
    ]
    report([*runs, "--plots", str(tmp_path / "plots")])
    axes = figures["toys_seconds.png"].axes[0]
    axes.figure.draw_without_rendering()
    ticks = [tick for tick in axes.get_xticks() if 0.01 <= tick <= 400]
    np.testing.assert_allclose(ticks, [0.01, 0.1, 1, 10, 100])


def test_values_that_are_no_numbers(tmp_path: Path, points: list[tuple[object, ...]]) -> None:
    runs = [run(tmp_path / str(value), value) for value in ("raw", "mean")]
    report([*runs, "--plots", str(tmp_path / "plots"), "--plot-over", "alpha", "--settings", "all"])
    assert points[-1][0] == ["raw", "mean"]


def test_the_weight_that_validation_chose(tmp_path: Path, points: list[tuple[object, ...]]) -> None:
    folders = [Path(run(tmp_path / str(seed), 0.7, seed=seed)) for seed in (0, 1)]
    for folder, curve in zip(folders, ([0.1, 0.3, 0.2], [0.2, 0.5, 0.2]), strict=True):
        (folder / "logs" / "version_0").mkdir(parents=True)
        lines = ["epoch,train/loss,val_sweep/0.5,val_sweep/1", "0,3.5,,", "0,,0.01,0.02"]
        lines += [f"1,,{curve[0]},{curve[1]}", "2,,0.05,0.06"]
        (folder / "logs" / "version_0" / "metrics.csv").write_text("\n".join(lines))
    report([*map(str, folders), "--plots", str(tmp_path / "plots")])
    assert "toys_validation_sweep.pdf" in drawn(tmp_path / "plots")
    x, y, _, label = points[-1]
    assert label == "SETRec (2 seeds)"
    assert x == [0.5, 1.0]
    assert y == pytest.approx([(0.1 + 0.2) / 2, (0.3 + 0.5) / 2]), "the epoch with the best value"


def test_the_weights_of_two_methods_have_a_panel_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {}
    monkeypatch.setattr(plots, "write_new", lambda path, write: figures.update({path.name: write.__self__}))
    runs = [run(tmp_path / method, method=method) for method in ("SETRec", "DreamRec", "TIGER")]
    for folder, weight in zip(runs, (0.5, 4), strict=False):
        (Path(folder) / "logs" / "version_0").mkdir(parents=True)
        (Path(folder) / "logs" / "version_0" / "metrics.csv").write_text(f"epoch,val_sweep/{weight}\n0,0.5\n")
    report([*runs, "--plots", str(tmp_path / "plots")])
    panels = figures["toys_validation_sweep.png"].axes
    assert [(axes.get_title(), axes.lines[0].get_xdata().tolist()) for axes in panels] == [
        ("SETRec", [0.5]),
        ("DreamRec", [4]),
    ]


def test_language_models_stand_in_the_legend_where_there_are_several(
    tmp_path: Path, points: list[tuple[object, ...]]
) -> None:
    runs = [run(tmp_path / name, backbone=name) for name in ("new T5, d_model 8", "Qwen")]
    report([*runs, "--plots", str(tmp_path / "plots")])
    assert [point[3] for point in points if point[3] != "bars"] == ["SETRec, new T5", "SETRec, Qwen"]


def test_figures_are_drawn_beside_older_ones(tmp_path: Path) -> None:
    for name in ("once", "again"):
        report([run(tmp_path / name), "--plots", str(tmp_path / "plots")])
    assert {"toys_groups.png", "toys_groups.1.png", "toys_groups.1.pdf"} <= drawn(tmp_path / "plots")


def test_sweeps_that_are_none(tmp_path: Path) -> None:
    options = ["--plots", str(tmp_path / "plots"), "--plot-over", "alpha"]
    with pytest.raises(GenrecError, match=r"no run's config.yaml has the key `alpha`"):
        report([run(tmp_path / "without"), *options])
    runs = [run(tmp_path / f"{alpha}", alpha) for alpha in (0.1, 0.2)]
    with pytest.raises(GenrecError, match=r"same `model.identifier.alpha` and the same seed"):
        report([*runs, run(tmp_path / "again", 0.1), *options])
    other = Path(run(tmp_path / "other", 0.3))
    (other / "config.yaml").write_text((other / "config.yaml").read_text() + "trainer: {max_epochs: 3}\n")
    with pytest.raises(GenrecError, match=r"differ in `trainer.max_epochs` too"):
        report([*runs, str(other), *options])
    assert not (tmp_path / "plots").exists()


def test_no_state_is_left_behind(tmp_path: Path) -> None:
    """Without a screen and without pyplot, which keeps every figure."""
    code = (
        "import sys; from genrec.analysis.report import report; "
        f"report([{run(tmp_path / 'a')!r}, '--plots', {str(tmp_path / 'plots')!r}]); "
        "assert 'matplotlib.figure' in sys.modules; "
        "assert 'matplotlib.pyplot' not in sys.modules; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "MPLBACKEND": "TkAgg", "DISPLAY": ""})
    assert plots.GROUPS == ("G1", "G2", "G3", "G4", "G5")

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from genrec.analysis.report import report, results_frame, results_table
from genrec.errors import GenrecError
from genrec.runs.results import environment, load_results


def result(method: str, dataset: str = "toys", ndcg: float = 0.25, cold_users: int = 3) -> dict[str, object]:
    cold = {"recall@5": 0.5, "ndcg@10": 0.125 if cold_users else float("nan"), "users": cold_users}
    return {
        "dataset": dataset,
        "method": method,
        "split": "test",
        "users": 1234,
        "items": 5678,
        "settings": {"all": {"recall@5": 0.0625, "ndcg@10": ndcg, "users": 1234}, "cold": cold},
        "seconds": {"fit": None, "rank": 1.5},
    }


def text(*results: dict[str, object]) -> str:
    console = Console(width=120, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(results_table(results))
    return console.export_text()


def test_a_row_per_setting_and_method() -> None:
    table = text(result("SETRec"), result("Popularity", ndcg=0.001))
    assert "toys: 1,234 test users, 5,678 items" in table
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in table.splitlines() if "│" in line]
    assert rows == [
        ["all", "SETRec", "0.0625", "0.2500", "1,234", "1.5"],
        ["all", "Popularity", "0.0625", "0.0010", "1,234", "1.5"],
        ["cold", "SETRec", "0.5000", "0.1250", "3", ""],
        ["cold", "Popularity", "0.5000", "0.1250", "3", ""],
    ]
    assert "R@5" in table
    assert "N@10" in table


def test_a_setting_without_users_has_no_means() -> None:
    assert "│ cold    │ SETRec │      - │" in text(result("SETRec", cold_users=0))


def test_the_newest_run_of_a_folder(tmp_path: Path) -> None:
    for stamp, method in (("2026-01-01", "Old"), ("2026-02-01", "New")):
        (tmp_path / stamp).mkdir()
        (tmp_path / stamp / "metrics.json").write_text(json.dumps(result(method)))
    assert load_results(tmp_path)["method"] == "New"
    assert load_results(tmp_path / "2026-01-01")["method"] == "Old"


def test_a_table_per_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("toys", "beauty"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1" / "metrics.json").write_text(json.dumps(result("SETRec", name)))
    report([str(tmp_path / "toys"), str(tmp_path / "beauty")])
    printed = capsys.readouterr().out
    assert printed.index("toys:") < printed.index("beauty:")


def test_what_cannot_be_reported(tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match="takes the folders of runs"):
        report([])
    with pytest.raises(GenrecError, match="genrec test"):
        load_results(tmp_path)
    (tmp_path / "metrics.json").write_text("{\n  broken")
    with pytest.raises(GenrecError, match=r"metrics.json, line 2"):
        load_results(tmp_path)


def written(folder: Path, contents: dict[str, object], config: str | None = None) -> str:
    """A tested run."""
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(contents))
    if config is not None:
        (folder / "config.yaml").write_text(config)
    return str(folder)


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        ("[1, 2]", "mapping of results"),
        ('{"method": "SETRec"}', "`dataset`"),
        (json.dumps({**result("SETRec"), "users": "many"}), "`users`"),
        (json.dumps({**result("SETRec"), "settings": {"warm": {}}}), "metrics of all items"),
        (json.dumps({**result("SETRec"), "settings": {"all": {"ndcg@10": None, "users": 3}}}), "setting `all`"),
        (json.dumps({**result("SETRec"), "settings": {"all": {"ndcg@10": 0.5}}}), "setting `all`"),
        (json.dumps({**result("SETRec"), "seconds": {}}), "`seconds`"),
        (json.dumps({**result("SETRec"), "parameters": 3}), "number of `trained` parameters"),
        (json.dumps({**result("SETRec"), "parameters": {"trained": None}}), "number of `trained` parameters"),
    ],
)
def test_results_of_another_version(tmp_path: Path, contents: str, complaint: str) -> None:
    (tmp_path / "metrics.json").write_text(contents)
    with pytest.raises(GenrecError, match=f"{complaint}.*: it is damaged or of another version") as error:
        report([str(tmp_path)])
    assert str(tmp_path / "metrics.json") in str(error.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    run = Path(written(tmp_path / "run", result("SETRec"), "model: {"))
    with pytest.raises(GenrecError, match=r"config.yaml, line 1"):
        report([str(run)])
    (run / "config.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(GenrecError, match=r"config.yaml: a config is a text in UTF-8"):
        report([str(run)])
    (run / "metrics.json").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(GenrecError, match=r"metrics.json cannot be read"):
        report([str(run)])


def test_one_name_cut_differently_is_two_data_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = written(tmp_path / "one", result("SETRec"))
    other = written(tmp_path / "other", {**result("TIGER"), "users": 99})
    report([one, other])
    printed = capsys.readouterr().out
    assert "toys: 1,234 test users" in printed
    assert "toys: 99 test users" in printed


def test_tables_are_written_beside_older_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, table = written(tmp_path / "run", result("SETRec")), tmp_path / "tables" / "toys.md"
    report([run, "--format", "markdown"])
    printed = capsys.readouterr().out
    report([run, "--format", "markdown", "--output", str(table)])
    report([run, "--output", str(table)])
    assert table.with_name("toys.1.md").read_text() == printed
    assert "━" in table.read_text()


def test_settings_that_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = written(tmp_path / "run", result("SETRec"))
    report([run, "--format", "markdown", "--settings", "cold"])
    printed = capsys.readouterr().out
    assert "| cold |" in printed
    assert "| all |" not in printed
    for wrong in ("hot", "all,G1", ""):
        with pytest.raises(GenrecError, match=r"--settings .*: the settings of these runs are all, cold"):
            report([run, "--settings", wrong])


def test_the_same_run_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = written(tmp_path / "runs" / "1", result("SETRec"))
    report([run, str(tmp_path / "runs"), "--format", "csv"])
    assert capsys.readouterr().out.count("toys,test,all,SETRec,,ours,1,1234,ndcg@10,0.25,\n") == 1


def test_wrong_options(tmp_path: Path) -> None:
    run = written(tmp_path / "run", result("SETRec"))
    for wrong in (["--form", "csv"], ["--format", "word"], ["--plot-over", "alpha"]):
        with pytest.raises(GenrecError, match=f"{wrong[0]}"):
            report([run, *wrong])


def test_the_published_numbers_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = written(tmp_path / "run", {**result("SETRec"), "backbone": "new T5, d_model 128"})
    report([ours, "--format", "markdown"])
    assert "published" not in capsys.readouterr().out
    report([ours, "--format", "markdown", "--paper"])
    lines = capsys.readouterr().out.splitlines()
    assert "| all | SETRec | new T5, d_model 128 | 0.0625 | 0.2500 | 1,234 | 1.5 |" in lines
    assert "| all | SETRec (published) | T5-small | 0.0110 | 0.0118 |  | 60.0 |" in lines
    assert "| cold | SETRec (published) | T5-small | 0.0443 | 0.0445 |  |  |" in lines
    assert lines[-1].startswith("published: SETRec, SIGIR 2025")
    report([written(tmp_path / "popularity", result("Popularity")), "--paper"])
    assert "there are no published numbers for these" in capsys.readouterr().out


def test_hardware_and_versions_are_said() -> None:
    said = environment()
    assert said["hardware"]["cores"] >= 1
    assert set(said["versions"]) == {"python", "genrec", "torch", "lightning", "transformers", "commit"}


def test_a_frame_of_numbers(tmp_path: Path) -> None:
    folders = []
    for method in ("Popularity", "SETRec"):
        folders.append(tmp_path / method)
        folders[-1].mkdir()
        (folders[-1] / "metrics.json").write_text(json.dumps(result(method)))
    frame = results_frame(folders, ["all", "cold"])
    wide = frame.filter(metric="ndcg@10").pivot("setting", index="method", values="mean")
    for row, folder in zip(wide.iter_rows(named=True), folders, strict=True):
        settings = load_results(folder)["settings"]
        assert row == {"method": folder.name, **{name: settings[name]["ndcg@10"] for name in ("all", "cold")}}
    with pytest.raises(GenrecError, match="genrec test"):
        results_frame([tmp_path / "nothing"])
    with pytest.raises(GenrecError, match="the settings of these runs are all, cold"):
        results_frame(folders, ["tepid"])
    with pytest.raises(GenrecError, match="a list of folders"):
        results_frame(str(folders[0]))

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from genrec.errors import GenrecError
from genrec.report import environment, load_results, report, results_table


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


def test_hardware_and_versions_are_said() -> None:
    said = environment()
    assert said["hardware"]["cores"] >= 1
    assert set(said["versions"]) == {"python", "genrec", "torch", "lightning", "transformers"}

"""Tables in every form."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np
import pytest
from rich.console import Console

from genrec.analysis.report.formats import FORMATS, latex, long_csv, markdown, rich_table, terminal
from genrec.analysis.report.rows import Row
from genrec.analysis.report.table import Table, table


def row(
    method: str, recalls: Sequence[float], backbone: str | None = None, published: bool = False, **more: object
) -> Row:
    results = [
        {
            "dataset": "toys",
            "split": "test",
            "users": 1234,
            "items": 5678,
            "settings": {
                "all": {"recall@5": recall, "ndcg@10": 0.5, "users": 1234},
                "cold": {"recall@5": 1 - recall, "users": 12},
            },
            "seconds": {"rank": 1.5},
            **more,
        }
        for recall in recalls
    ]
    return Row(method, backbone, results, published=published)


@pytest.fixture
def made() -> Table:
    return table([row("A_1", [0.2, 0.3, 0.4]), row("B", [0.25]), row("C", [0.1])], ["all", "warm", "cold"])


def marks(rows: Sequence[Row], setting: str = "all") -> list[str | None]:
    return [line.cells["recall@5"].mark for line in table(rows, [setting]).blocks[setting]]


def test_mean_and_sample_deviation(made: Table) -> None:
    cell = made.blocks["all"][0].cells["recall@5"]
    assert cell.mean == pytest.approx((0.2 + 0.3 + 0.4) / 3)
    assert cell.std == pytest.approx(np.sqrt((0.1**2 + 0 + 0.1**2) / 2))
    assert made.blocks["all"][1].cells["recall@5"].std is None


def test_best_and_second_of_every_setting(made: Table) -> None:
    assert [line.cells["recall@5"].mark for line in made.blocks["all"]] == ["best", "second", None]
    assert [line.cells["recall@5"].mark for line in made.blocks["cold"]] == [None, "second", "best"]
    assert "warm" not in made.blocks


def test_what_is_not_marked() -> None:
    assert marks([row("A", [0.2])]) == [None], "one row is the best of nothing"
    assert marks([row("A", [0.2]), row("B", [0.2]), row("C", [0.1])]) == ["best", "best", "second"]
    assert marks([row("A", [0.0]), row("B", [0.0])]) == [None, None]
    assert marks([row("A", [0.2]), row("P", [0.9], published=True), row("B", [0.1])]) == ["best", None, "second"]
    assert marks([row("A", [0.2]), row("B", [float("nan")]), row("C", [0.3])]) == ["second", None, "best"]


def test_terminal(made: Table) -> None:
    console = Console(width=160, force_terminal=True, file=io.StringIO(), color_system="standard")
    with console.capture() as captured:
        console.print(rich_table(made))
    printed = captured.get()
    assert "\x1b[1m0.3000 ± 0.1000\x1b[0m" in printed, "bold"
    assert "\x1b[4m0.2500\x1b[0m" in printed, "underlined"
    assert "\x1b" not in terminal([made], "")


def test_brackets_of_a_label_are_no_markup() -> None:
    text = terminal([table([row("SETRec (ks=[5])", [0.1], dataset="[toys]")], ["all"])], "a [note]")
    assert "SETRec (ks=[5])" in text
    assert "[toys]: 1,234" in text
    assert "a [note]" in text


def test_markdown(made: Table) -> None:
    assert markdown([made], "a note") == (
        "**toys: 1,234 test users, 5,678 items**\n"
        "\n"
        "| setting | method | R@5 | N@10 | users | rank s |\n"
        "| --- | --- | ---: | ---: | ---: | ---: |\n"
        "| all | A_1 | **0.3000** ± 0.1000 | **0.5000** ± 0.0000 | 1,234 | 1.5 |\n"
        "| all | B | <u>0.2500</u> | **0.5000** | 1,234 | 1.5 |\n"
        "| all | C | 0.1000 | **0.5000** | 1,234 | 1.5 |\n"
        "| cold | A_1 | 0.7000 ± 0.1000 | - | 12 |  |\n"
        "| cold | B | <u>0.7500</u> | - | 12 |  |\n"
        "| cold | C | **0.9000** | - | 12 |  |\n"
        "\n"
        "a note\n"
    )


def test_trained_parameters_are_a_column_where_runs_tell_them() -> None:
    told = row("A", [0.2, 0.4])
    for result in told.results:
        result["parameters"] = {"trained": 1_234_567, "all": 2_000_000}  # type: ignore[index]
    made = table([told, row("B", [0.1])], ["all", "cold"])
    lines = markdown([made], "").splitlines()
    assert lines[2].endswith("| users | rank s | trained |")
    assert lines[4].endswith("| 1.5 | 1,234,567 |")
    assert lines[5].endswith("| 1.5 |  |"), "an older run does not tell"
    assert all(line.endswith("|  |  |") for line in lines[6:] if line), "it stands with the first setting alone"
    assert "trained & " not in latex([made], "").partition("toprule")[0]
    assert "rank s & trained" in latex([made], "")
    values = {line["metric"]: line for line in csv.DictReader(io.StringIO(long_csv([made], "")))}
    assert float(values["parameters_trained"]["mean"]) == 1_234_567


def test_how_rows_were_computed_is_shown_where_it_matters() -> None:
    def how(**changed: object) -> dict[str, object]:
        part = {"batch": 128, "processes": 1, "nodes": 1, "precision": "32-true", **changed}
        return {"training": [part], "precision": part["precision"]}

    def head(*rows: Row) -> str:
        return markdown([table(rows, ["all"])], "").splitlines()[2]

    usual = row("A", [0.1], **how())
    assert head(usual, row("B", [0.1], **how()), row("Old", [0.1])).endswith("| rank s |"), "the usual, or unknown"
    assert head(usual, row("B", [0.1], **how(batch=64))).endswith("| rank s | batch |")
    assert head(row("B", [0.1], **how(processes=2))).endswith("| rank s | processes |")
    odd = row("B", [0.1], **how(batch=64, precision="bf16-mixed"))
    shown = markdown([table([usual, odd, row("P", [0.9], published=True)], ["all", "cold"])], "").splitlines()
    assert [line.split(" | ")[-2:] for line in shown[4:7]] == [["128", "32-true |"], ["64", "bf16-mixed |"], ["", " |"]]
    assert all(line.endswith("|  |  |") for line in shown[7:]), "it stands with the first setting alone"


def test_latex(made: Table) -> None:
    assert latex([made], "") == (
        "% \\usepackage{booktabs}\n"
        "\n"
        "\\begin{table}\n"
        "  \\centering\n"
        "  \\caption{toys: 1,234 test users, 5,678 items}\\label{tab:toys}\n"
        "  \\begin{tabular}{llrrrr}\n"
        "    \\toprule\n"
        "    setting & method & R@5 & N@10 & users & rank s \\\\\n"
        "    \\midrule\n"
        "    all & A\\_1 & \\textbf{0.3000} $\\pm$ 0.1000 & \\textbf{0.5000} $\\pm$ 0.0000 & 1,234 & 1.5 \\\\\n"
        "     & B & \\underline{0.2500} & \\textbf{0.5000} & 1,234 & 1.5 \\\\\n"
        "     & C & 0.1000 & \\textbf{0.5000} & 1,234 & 1.5 \\\\\n"
        "    \\midrule\n"
        "    cold & A\\_1 & 0.7000 $\\pm$ 0.1000 & - & 12 &  \\\\\n"
        "     & B & \\underline{0.7500} & - & 12 &  \\\\\n"
        "     & C & \\textbf{0.9000} & - & 12 &  \\\\\n"
        "    \\bottomrule\n"
        "  \\end{tabular}\n"
        "\\end{table}\n"
    )


def test_latex_says_what_is_special() -> None:
    text = latex([table([row("50% & ~{x}\\", [0.1])], ["all"])], "")
    assert r"50\% \& \textasciitilde{}\{x\}\textbackslash{} &" in text


def test_csv_has_every_number_unrounded(made: Table) -> None:
    lines = list(csv.DictReader(io.StringIO(long_csv([made], ""))))
    assert list(lines[0]) == [
        "dataset", "split", "setting", "method", "backbone", "source", "runs", "users", "metric", "mean", "std",
    ]  # fmt: skip
    values = {(line["setting"], line["method"], line["metric"]): line for line in lines}
    assert len(values) == len(lines) == 3 * (2 + 1 + 1), "two metrics of all, one of cold, and the seconds"
    assert float(values["all", "A_1", "recall@5"]["mean"]) == np.mean([0.2, 0.3, 0.4])
    assert float(values["all", "A_1", "recall@5"]["std"]) == np.std([0.2, 0.3, 0.4], ddof=1)
    assert values["all", "B", "recall@5"]["std"] == ""
    assert values["cold", "C", "recall@5"]["users"] == "12"
    assert values["", "C", "rank_seconds"]["mean"] == "1.5"


def test_language_models_are_told_apart_where_there_are_several() -> None:
    one = table([row("A", [0.1], "T5"), row("B", [0.1], "T5"), row("C", [0.1])], ["all"])
    two = table([row("A", [0.1], "T5"), row("B", [0.1], "Qwen"), row("C", [0.1])], ["all"])
    assert "backbone" not in markdown([one], "")
    assert "| all | B | Qwen |" in markdown([two], "")
    assert "| all | C |  |" in markdown([two], "")
    assert r"\begin{tabular}{lllrrrr}" in latex([two], "")
    assert "│ B      │ Qwen     │" in terminal([two], "")


def test_metrics_of_some_runs_only() -> None:
    other = row("B", [0.1])
    other.results[0]["settings"]["all"] = {"recall@20": 0.5, "users": 1234}
    text = markdown([table([row("A", [0.1]), other], ["all"])], "")
    assert "R@5 | N@10 | R@20" in text
    assert "| all | A | 0.1000 | 0.5000 | - |" in text


@pytest.mark.parametrize("name", FORMATS)
def test_several_data_sets(name: str) -> None:
    tables = [table([row("A", [0.1], dataset=dataset)], ["all"]) for dataset in ("toys", "beauty")]
    text = FORMATS[name](tables, "")
    assert 0 < text.index("toys") < text.index("beauty")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")

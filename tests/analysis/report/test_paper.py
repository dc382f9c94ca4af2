"""The published numbers, against the text of the paper and at a few places by hand."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from genrec.analysis.report import paper

DATA = ("toys", "beauty", "sports", "steam")
COLUMNS = ("recall@5", "recall@10", "ndcg@5", "ndcg@10")


def test_a_few_by_hand() -> None:
    found = paper.published("toys", "SETRec", "t5-small")
    assert found is not None
    assert found["backbone"] == "T5-small"
    assert found["settings"]["all"] == dict(zip(COLUMNS, (0.0110, 0.0189, 0.0089, 0.0118), strict=True))
    assert found["settings"]["cold"]["recall@10"] == 0.0812
    assert found["seconds"]["rank"] == 60
    found = paper.published("beauty", "BIGRec", "Qwen/Qwen2.5-1.5B, lora")
    assert found is not None
    assert found["settings"]["warm"]["ndcg@10"] == 0.0008
    assert found["seconds"]["rank"] == 29_500


def test_the_size_decides_where_it_was_published() -> None:
    for name, recall in (("Qwen/Qwen2.5-3B, lora", 0.0195), ("Qwen/Qwen2.5-7B, lora", 0.0194), ("new qwen2", 0.0188)):
        found = paper.published("toys", "SETRec", name)
        assert found is not None
        assert found["settings"]["all"]["recall@10"] == recall
    assert paper.published("toys", "SETRec", "Qwen/Qwen2.5-3B")["settings"]["all"]["recall@5"] is None  # type: ignore[index]
    fallback = paper.published("beauty", "SETRec", "Qwen/Qwen2.5-3B")
    assert fallback is not None
    assert fallback["backbone"] == "Qwen2.5-1.5B", "the nearest there is"


def test_leave_one_out_is_a_protocol_of_its_own() -> None:
    found = paper.published("beauty_loo", "TIGER", "new t5")
    assert found is not None
    assert found["settings"] == {"all": {"recall@10": 0.0648, "ndcg@10": 0.0384}}
    tuned = paper.published("beauty_loo", "SASRec", None)
    assert tuned is not None
    both = paper.note([found, tuned, paper.published("toys", "SETRec", "t5-small") or {}])
    assert [line[:30] for line in both.splitlines()] == [
        "published: leave-one-out: TIGE",
        "published: SETRec, SIGIR 2025 ",
    ]
    assert paper.published("beauty_loo", "SETRec", "t5-small") is None


def test_the_docs_have_the_same_numbers() -> None:
    """The italic rows of the table below leave-one-out, a column per data set, and no number of the file is missing."""
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| *")]
    written = {
        (f"{name}_loo", method.strip("*")): [float(number) for number in cell.split()]
        for method, *cells in rows
        for name, cell in zip(("beauty", "sports", "toys"), cells, strict=True)
        if cell
    }
    contents = yaml.safe_load(Path(paper.__file__).with_name("leave_one_out.yaml").read_text(encoding="utf-8"))
    (table,) = contents["tables"]
    published = {(name, method): row["all"] for name, rows in table["results"].items() for method, row in rows.items()}
    assert written == published


def test_what_was_not_published() -> None:
    assert paper.published("games", "SETRec", "t5-small") is None
    assert paper.published("toys", "SASRec", "t5-small") is None
    assert paper.published("steam", "SETRec", "qwen2") is None
    assert paper.published("toys", "Popularity", None) is None
    assert paper.published("toys", "SETRec", "SmolLM2-135M") is None


def test_the_file_is_the_papers(shared: Path) -> None:
    """Every number of Tables 1 to 3, read anew out of the text."""
    (text,) = (shared / "paper").glob("*.txt")
    found: dict[tuple[str, str, str], list[float]] = {}
    table, dataset, size = 0, "", ""
    for line in text.read_text(encoding="utf-8").splitlines():
        cells = [re.sub(r"\\ul|\*|,", "", cell).strip() for cell in line.split("|")]
        table += cells[:2] == ["Dataset", "Method"]
        if cells[0].lower() in DATA:
            dataset = cells.pop(0).lower()
        if cells[0] in ("1.5B", "3B", "7B"):
            size = cells.pop(0)
        numbers = [float(cell) for cell in cells[1:] if re.fullmatch(r"[\d.]+", cell)]
        if len(numbers) == 13:
            found[("T5-small", "Qwen2.5-1.5B")[table - 1], dataset, cells[0]] = numbers
        elif len(numbers) == 6:
            found.setdefault((f"Qwen2.5-{size}", "toys", cells[0]), numbers)
    assert len(found) == 9 * 4 + 9 * 2 + 3 * 2

    ours = {}
    contents = yaml.safe_load(Path(paper.__file__).with_name("paper.yaml").read_text(encoding="utf-8"))
    assert tuple(contents["columns"]) == COLUMNS
    for part in contents["tables"]:
        for name, methods in part["results"].items():
            for method, values in methods.items():
                numbers = [value for setting in ("all", "warm", "cold") for value in values[setting]]
                numbers.append(values["seconds"])
                ours[part["backbone"], name, method] = [number for number in numbers if number is not None]
    assert ours == found

"""What people's files look like, one after another, and what comes of each."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from genrec.data import GivenSplit, LeaveOneOut, Table
from genrec.errors import GenrecError

from .public_shapes import PUBLIC
from .shapes import SHAPES, Shape, page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "files.md"


def source(shape: Shape, root: Path) -> Table:
    for name, content in shape.files.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    options: dict[str, Any] = {"interactions": next(iter(shape.files)), "k_core": 1, "split": LeaveOneOut()}
    options |= shape.options
    if options["split"] == "given":
        options["split"] = GivenSplit()
    return Table(**options)


@pytest.mark.parametrize("shape", [*SHAPES, *PUBLIC], ids=lambda shape: shape.name)
def test_shape(tmp_path: Path, shape: Shape) -> None:
    table = source(shape, tmp_path)
    if shape.refused:
        with pytest.raises(GenrecError, match=shape.refused) as error:
            table.load(tmp_path)
        assert "\n" not in str(error.value)
        named = any(Path(file).name.split(".")[0] in str(error.value) for file in shape.files)
        assert named or "item table" in str(error.value), "the file is named"
        return
    dataset = table.load(tmp_path)
    timelines = dataset.train.join(dataset.validation).join(dataset.test)
    assert (len(dataset.users), len(dataset.catalog), len(timelines.values)) == shape.counts
    keys = dataset.catalog.keys
    for items in timelines:
        walk = [keys[item].lstrip("i0") for item in items]
        assert walk[:4] == sorted(walk[:4]), "in the order of time"
    findings = dataset.notes.get("findings", {})
    assert shape.said.items() <= findings.items()
    if "items" not in shape.options:
        assert findings == shape.said, "nothing else is said"
    assert set(shape.keys) <= set(keys)
    known = {row["item"]: row for row in dataset.catalog.items.rows(named=True)}
    assert {key: known[key]["title"] or "" for key in shape.titles} == shape.titles
    assert {key: known[key]["categories"] for key in shape.categories} == shape.categories
    assert {key: known[key]["price"] for key in shape.prices} == shape.prices
    if shape.texts:
        texts = dict(zip(keys, dataset.catalog.texts(), strict=True))
        assert {key: texts[key] for key in shape.texts} == shape.texts


def test_the_page_has_these_tables() -> None:
    found = re.findall(r"\| file \| comes to \|\n.*?\n(?=\n|$)", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found == [page(SHAPES), page(PUBLIC)], "python -m tests.data.shapes writes them"


DAMAGE = (
    b"",
    b"nan",
    b"\xff",
    b"\0",
    b'"',
    b"'",
    b"[",
    b"}",
    b",",
    b"\n",
    b"\r",
    b"1e999",
    b"\\ud800",
    b"9" * 40,
    b"inf",
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        shape = rng.choice([*SHAPES, *PUBLIC])
        table, file = source(shape, tmp_path), tmp_path / rng.choice(list(shape.files))
        content = bytearray(file.read_bytes())
        for _ in range(rng.randint(1, 3)):
            start = rng.randint(0, len(content))
            content[start : start + rng.randint(0, 9)] = rng.choice(DAMAGE)
        file.write_bytes(content)
        assert "\n" not in refusal(table, tmp_path)


def refusal(table: Table, root: Path) -> str:
    """Why a table cannot be read; empty where it can."""
    try:
        table.load(root)
    except GenrecError as error:
        return str(error)
    return ""

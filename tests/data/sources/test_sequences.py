"""Users' lists in the formats of P5 and LETTER."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrec.data import QuantileSplit, Sequences
from genrec.errors import GenrecError

LISTS = {"7": ["1", "2", "3", "2", "4"], "8": ["4", "3", "2", "1"]}
NUMBERS = {int(user): [int(item) for item in items] for user, items in LISTS.items()}
LINES = "".join(f"{user} {' '.join(items)}\n" for user, items in LISTS.items())
RECORDS = [{"user": user, "item": items} for user, items in NUMBERS.items()]
FILES: dict[str, bytes] = {
    "sequential_data.txt": LINES.encode(),
    "commas.txt": LINES.replace(" ", ",").encode(),
    "packed.txt.gz": gzip.compress(LINES.encode()),
    "tabs.tsv": LINES.replace(" ", "\t", 1).encode(),
    "inter.json": json.dumps(NUMBERS).encode(),
    "log.jsonl": "".join(json.dumps(record) + "\n" for record in RECORDS).encode(),
}


@pytest.mark.parametrize("name", [*FILES, "log.parquet"])
def test_lists_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    pl.DataFrame(RECORDS).write_parquet(tmp_path / "log.parquet")
    if name in FILES:
        (tmp_path / name).write_bytes(FILES[name])
    (tmp_path / "item.json").write_text(json.dumps({str(n): {"title": f"T{n}"} for n in range(1, 5)}))
    dataset = Sequences(name, "item.json").load(tmp_path)
    timelines = dataset.train.join(dataset.validation).join(dataset.test)
    found = [[dataset.catalog.keys[item] for item in items] for items in timelines]
    assert dict(zip(dataset.users, found, strict=True)) == LISTS
    assert dataset.test.lengths.tolist() == [1, 1]
    assert dataset.catalog.titles[dataset.catalog.keys.index("3")] == "T3"
    once = Sequences(name, repeats="first").load(tmp_path)
    assert len(once.train.values) == 4  # 1 2 of 1 2 3 4, 4 3 of 4 3 2 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("inter.json", "[1]", "no object of users' keys"),
        ("inter.json", '{"1": [[2]]}', r"row 1: `\[2\]` is no item"),
        ("inter.json", '{"1": 2}', "row 1: user `1` has `2`, not a list"),
        ("inter.json", '{"1": [2], "1": [3]}', "two values of `1`"),
        ("inter.json", '{"1": [2], " 1": [3]}', "row 2: user `1` has a list already"),
        ("log.jsonl", '{"user": 1}', "line 1` has no column `item`"),
        ("log.jsonl", '{"user": 1, "item": [true]}', "row 1: `True` is no item"),
        ("log.txt", "user items\n1 2 3\n", "names in its first line"),
        ("log.txt", "1 2 3\n1 4 5\n", "row 2: user `1` has a list already .*row 1.*: a user has one list"),
        ("log.txt", "\n", "holds no lists"),
        ("log.xml", "<a>", "none of the lists that can be read"),
        ("log.txt", "1 2 nan 4\n", "row 1: `nan` is no item"),
    ],
)
def test_lists_that_are_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(GenrecError, match=said) as error:
        Sequences(name).load(tmp_path)
    assert name in str(error.value)


def test_lists_cannot_be_cut_by_time(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"interactions": "x.txt", "split": QuantileSplit()}
    with pytest.raises(GenrecError, match="cannot be cut by time"):
        Sequences(**arguments).load(tmp_path)

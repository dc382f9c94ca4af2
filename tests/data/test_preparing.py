"""Data sets that are made once, a part at a time, and mapped."""

from __future__ import annotations

import gzip
import os
import stat
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrec.data import Dataset, GivenSplit, LeaveOneOut, QuantileSplit, Table, log
from genrec.data.files import batching, records, separated
from genrec.data.preparing import Filters
from genrec.errors import GenrecError
from genrec.io.folders import distrust_damaged

NAMES = ("train", "validation", "test")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A log whose rows are in no order, with repetitions, ties, and keys of which only the last ones are text."""
    rng = np.random.default_rng(0)
    rows = 4000
    frame = pl.DataFrame(
        {
            "user": np.append(rng.integers(0, 150, rows - 1), 3).astype(str),
            "item": (rng.integers(0, 90, rows) * rng.random(rows)).astype(int).astype(str),
            "timestamp": 1_400_000_000_000 + rng.integers(0, 300, rows) * 1000,
            "rating": rng.integers(1, 6, rows),
            "split": rng.choice(["train", "valid", "test"], rows),
        }
    )
    frame = frame.with_columns(user=pl.col("user") + ".0")
    frame.write_csv(tmp_path / "log.csv")
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress((tmp_path / "log.csv").read_bytes()))
    (tmp_path / "utf16.csv").write_bytes((tmp_path / "log.csv").read_text().replace("\n", "\r\n").encode("utf-16"))
    frame.write_ndjson(tmp_path / "log.jsonl")
    frame.write_parquet(tmp_path / "log.parquet")
    (tmp_path / "parts").mkdir()
    for part in range(4):
        frame[1000 * part : 1000 * part + 1000].write_parquet(tmp_path / "parts" / f"{part}.parquet")
    items = pl.DataFrame({"item": frame["item"].unique().sort()[5:]})
    items.with_columns(title="Title " + pl.col("item")).write_csv(tmp_path / "items.csv")
    return tmp_path


def small_parts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(log, "PART", 300)
    patch.setattr(batching, "BATCH", 700)
    patch.setattr(records, "TOGETHER", 250)
    patch.setattr(separated, "LARGE", 100)


def same(one: Dataset, other: Dataset) -> None:
    assert one.users == other.users
    assert one.catalog.items.equals(other.catalog.items)
    for name in NAMES:
        for mine, others in zip(vars(getattr(one, name)).values(), vars(getattr(other, name)).values(), strict=True):
            assert np.array_equal(mine, others)
    assert one.notes["times"] == other.notes["times"]
    counts = [name for name in one.notes if name.startswith("interactions") or name == "users_left_out"]
    assert {name: one.notes[name] for name in counts} == {name: other.notes[name] for name in counts}


SETTINGS = {
    "by time": {"split": QuantileSplit(), "items": "items.csv"},
    "the last ones": {"split": LeaveOneOut(), "min_rating": 2, "repeats": "all"},
    "listed items": {"split": LeaveOneOut(), "items": "items.csv", "unlisted": "drop", "k_core": 1},
    "cut already": {"split": GivenSplit()},
    "no times": {"split": LeaveOneOut(), "timestamp": None},
}


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_what_is_made_in_parts_is_what_is_made_at_once(
    root: Path, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Table("log.csv", **options).load(root)
    small_parts(monkeypatch)
    for number, file in enumerate(("log.csv", "log.csv.gz", "utf16.csv", "log.jsonl", "log.parquet", "parts")):
        place = root / str(number)
        place.mkdir()
        for name in ("items.csv", file):
            (root / name).rename(place / name)
        found = Table(file, **options).load(place)
        same(found, whole)
        if file == "log.csv":
            assert found.notes["findings"] == whole.notes["findings"]
        (place / "items.csv").rename(root / "items.csv")
    assert whole.notes["interactions_tied"] or options.get("timestamp", "") is None
    assert not any(key.endswith(".0") for key in whole.users)


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (2500, "item", "", "log.csv, row 2501: no value in column `item`"),
        (2500, "user", "nan", "log.csv, row 2501: `nan` in column `user` is a missing value"),
        (3999, "timestamp", "soon", "log.csv, row 4000: `soon` in column `timestamp` is no number, as other times are"),
        (3999, "timestamp", "1400000000", "row 4000: `1400000000` .* is a time in seconds, but .* row 1"),
        (1500, "split", "tuning", "log.csv, row 1501: `tuning` in column `split` is no split"),
        (1500, "rating", "good", "log.csv, row 1501: `good` in column `rating` is no rating"),
        (1500, "rating", "4,5", "log.csv, line 1502: 6 fields for 5 columns"),
        (1500, "rating", '4"', None),
        (1500, "rating", '"4', "log.csv, line 4001: unexpected end of data"),
    ],
)
def test_an_error_in_a_later_part_names_the_row_of_the_file(
    root: Path, row: int, column: str, value: str, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.read_csv(root / "log.csv", infer_schema=False)
    lines = [",".join(cells) for cells in frame.rows()]
    cells = list(frame.row(row))
    cells[frame.columns.index(column)] = value
    lines[row] = ",".join(cells)
    (root / "log.csv").write_text("\n".join([",".join(frame.columns), *lines]) + "\n")
    source = Table("log.csv", split=GivenSplit(), min_rating=None if message is None else 1)
    said = []
    for parts in (False, True):
        if parts:
            small_parts(monkeypatch)
        if message is None:
            said.append(len(source.load(root).users))
            (root / "prepared").rename(root / f"prepared{parts}")
            continue
        with pytest.raises(GenrecError, match=message) as error:
            source.load(root)
        said.append(str(error.value))
    assert said[0] == said[1], "in the same words"


def test_a_large_compressed_text_names_the_line_that_is_no_text(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (root / "log.csv").read_bytes().splitlines(keepends=True)
    content[3000] = content[3000].replace(b",", b"\xff,", 1)
    (root / "log.csv.gz").write_bytes(gzip.compress(b"".join(content)))
    said = []
    for parts in (False, True):
        if parts:
            small_parts(monkeypatch)
            monkeypatch.setattr(separated, "HEAD", 2**9)
        with pytest.raises(
            GenrecError, match=r"log.csv.gz, line 3001: no UTF-8 text \(near .*give its `encoding`"
        ) as error:
            Table("log.csv.gz").load(root)
        said.append(str(error.value).split("(near")[0])
    assert said[0] == said[1]


def test_parts_that_are_read_in_two_ways_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch)
    last = pl.read_parquet(root / "parts" / "3.parquet")
    for kind, message in (
        (
            pl.Float64,
            r"`user` holds floats in some of the files .*0.parquet` to .*3.parquet`, and text in others",
        ),
        (pl.Date, "column `user` holds dates in some of the files .*, and String in others"),
    ):
        last.with_columns(user=pl.lit(7).cast(kind)).write_parquet(root / "parts" / "3.parquet")
        with pytest.raises(GenrecError, match=message):
            Table("parts").load(root)


def test_a_table_is_read_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = Table("log.csv", "items.csv").load(root)
    assert "built " in capsys.readouterr().out
    again = Table("log.csv", "items.csv").load(root)
    assert capsys.readouterr().out == ""
    same(again, first)
    assert again.notes == first.notes
    made = {path.name for path in (root / "prepared").glob("log-*")}
    assert len(made) == 1
    for options in ({"k_core": 3}, {"split": QuantileSplit((0.7, 0.1, 0.2))}, {"min_rating": 2}):
        Table("log.csv", "items.csv", **options).load(root)
        now = {path.name for path in (root / "prepared").glob("log-*")}
        assert len(now) == len(made) + 1, "another question has another answer"
        made = now
    (root / "items.csv").write_text((root / "items.csv").read_text().replace("Title 9", "Titel 9"))
    assert "Titel 9" in Table("log.csv", "items.csv").load(root).catalog.titles
    files = {path.name: path for path in (root / "prepared").rglob("*") if path.is_file()}
    assert Table("**/*.parquet").load(root).notes["interactions_read"] == 8000, "what was made is none of the data"
    assert len(files) > 5


def test_what_was_damaged_is_prepared_again_once_it_is_looked_for(root: Path) -> None:
    right = Table("log.csv").load(root).train.values.copy()  # what is mapped is damaged with its file
    (folder,) = (root / "prepared").glob("log-*")
    file = folder / "train.npy"
    times, content = file.stat(), bytearray(file.read_bytes())
    content[-4] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not np.array_equal(Table("log.csv").load(root).train.values, right)
    assert distrust_damaged(root / "prepared") == [folder]
    assert np.array_equal(Table("log.csv").load(root).train.values, right)
    assert distrust_damaged(root / "prepared") == []


def test_everything_is_mapped_and_of_few_bytes(root: Path) -> None:
    dataset = Table("log.csv", "items.csv").load(root)
    for name in NAMES:
        lists = getattr(dataset, name)
        assert isinstance(lists.values, np.memmap)
        assert isinstance(lists.offsets, np.memmap)
        assert (lists.values.dtype, lists.offsets.dtype) == (np.int32, np.int64)


def test_the_hash_of_a_large_file_is_kept_while_size_and_time_are_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genrec.data import hashes

    read: list[Path] = []
    sha256 = hashes.sha256
    monkeypatch.setattr(hashes, "LARGE", 1000)
    monkeypatch.setattr(hashes, "sha256", lambda path: read.append(path) or sha256(path))
    Table("log.csv").load(root)
    Table("log.csv", k_core=2).load(root)
    assert len(read) == 1
    file = root / "log.csv"
    os.utime(file, ns=(1, 1))
    Table("log.csv").load(root)
    assert len(read) == 2
    assert len(list((root / "prepared").glob("log-*"))) == 2, "the content is the same"
    (root / "prepared" / hashes.FILE).write_text("[1, 2]")
    Table("log.csv").load(root)
    assert len(read) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(root: Path) -> None:
    root.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(GenrecError, match=r"cannot prepare it in .* --data.root names a folder"):
        Table("log.csv").load(root)
    root.chmod(stat.S_IRWXU)


def test_a_place_that_is_a_file(root: Path) -> None:
    (root / "prepared").write_text("")
    with pytest.raises(GenrecError, match=r"log: cannot prepare it in `.*prepared`: .*; --data.root names a folder"):
        Table("log.csv").load(root)


@pytest.mark.parametrize("least", [0, -1])
def test_less_than_one_interaction_is_no_filter(least: int) -> None:
    with pytest.raises(GenrecError, match=f"`k_core` is {least}: give 1 or more"):
        Filters(least)
    with pytest.raises(GenrecError, match=f"`item_core` is {least}: give 1 or more"):
        Filters(1, least)

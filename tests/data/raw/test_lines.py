from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrec.data.raw import BadLines, lines
from genrec.data.raw.lines import read_json_lines, read_literal_lines
from genrec.data.raw.separated import read_separated_lines
from genrec.errors import GenrecError

SCHEMA = {"key": pl.String(), "number": pl.Float64()}
GOOD = b'{"key": "k", "number": 1, "text": "not wanted"}\n'


def read(tmp_path: Path, content: bytes, reader: Any = read_json_lines, **options: Any) -> tuple[list[Any], BadLines]:
    """The rows (row, key, number) of a file with this content."""
    path = tmp_path / "file"
    path.write_bytes(content)
    frame, bad = reader(path, SCHEMA, **options)
    return frame.select("row", *SCHEMA).rows(), bad


def error_of(tmp_path: Path, content: bytes, reader: Any = read_json_lines, **options: Any) -> str:
    with pytest.raises(GenrecError) as error:
        read(tmp_path, content, reader, **options)
    assert "\n" not in str(error.value)
    assert str(tmp_path / "file") in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("reader", [read_json_lines, read_literal_lines])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda content: gzip.compress(content) * 2])
@pytest.mark.parametrize("block", [1, 100, lines.BLOCK])
def test_rows_of_any_packing_and_block(tmp_path: Path, monkeypatch: Any, reader: Any, pack: Any, block: int) -> None:
    monkeypatch.setattr(lines, "BLOCK", block)
    content = b'{"key": "k", "more": [1]}\n{"number": 2.5, "key": 7}\r\n\n{"key": "last", "number": "text"}\n'
    rows, bad = read(tmp_path, pack(content), reader)
    expected = [(0, "k", None), (1, "7", 2.5), (3, "last", None)]
    twice = expected + [(row + 4, key, number) for row, key, number in expected]
    assert rows in (expected, twice)
    assert (bad.count, bad.total, bad.first) == (0, len(rows), ())


BROKEN = [
    b'{"key": "cut',
    b'{"key": "a"} {"key": "b"}',
    b'{"key": "a"}}',
    b"null",
    b"5",
    b'[{"key": "a"}]',
    b'"text"',
    b"\x00",
    b'{"key": "\xff"}',
    b'{"key": 1' + b"0" * 400 + b"}",
    b'{"number": 1e999}',
    b"[" * 100_000,
    b'{"key": ' + b"[" * 3_000 + b"]" * 3_000 + b"}",
    b"{" + b"'a': {" * 3_000,
    b"{'key': " + b"-" * 50_000 + b"1}",
    b"{'key': 1" + b"+1" * 50_000 + b"}",
    b"{['a']: 1}",
    b"{'key': open('x')}",
    b"{'key': '\\d'",
    b"__import__('os').system('touch executed')",
    b"{'key': __import__('os').system('touch executed')}",
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("reader", [read_json_lines, read_literal_lines])
@pytest.mark.parametrize("line", BROKEN, ids=lambda line: repr(line[:20]))
def test_a_broken_line_is_counted_where_it_is(tmp_path: Path, monkeypatch: Any, reader: Any, line: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    rows, bad = read(tmp_path, GOOD * 150 + line + b"\n" + GOOD * 149 + b"\n" + line, reader)
    assert [row for row, _, _ in rows] == [*range(150), *range(151, 300)]
    assert {row[1:] for row in rows} == {("k", 1.0)}
    assert (bad.count, bad.total, bad.first) == (2, 301, (151, 302))  # the empty line 301 is not a line
    assert str(bad) == f"`{tmp_path / 'file'}`: 2 of 301 lines cannot be read (line 151, 302)"
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("block", [1000, lines.BLOCK])
def test_more_than_one_percent(tmp_path: Path, monkeypatch: Any, block: int) -> None:
    monkeypatch.setattr(lines, "BLOCK", block)
    content = (GOOD * 99 + b"{\n") * 4
    assert read(tmp_path, content)[1].first == (100, 200, 300)
    assert "5 of 401 lines cannot be read (line 100, 200, 300, ...): check" in error_of(tmp_path, content + b"{")
    python = b"{'key': u'k', 'number': 1}\n" * 3
    assert "3 of 3 lines" in error_of(tmp_path, python)
    assert read(tmp_path, python, read_literal_lines)[0] == [(row, "k", 1.0) for row in range(3)]


def test_valid_and_keep(tmp_path: Path) -> None:
    content = GOOD * 200 + b'{"key": "other", "number": 1}\n{"key": "other"}\n'
    rows, bad = read(tmp_path, content, valid=pl.col("number") > 0, keep=pl.col("key") == "other")
    assert rows == [(200, "other", 1.0)]
    assert (bad.count, bad.total, bad.first) == (1, 202, (202,))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    packed = gzip.compress(GOOD * 1000)
    for readers in (read_json_lines, read_literal_lines):
        assert "to its end" in error_of(tmp_path, packed[: len(packed) // 2], readers)
    assert "to its end" in error_of(tmp_path, packed[:20] + b"junk" + packed[24:])
    assert "holds no lines" in error_of(tmp_path, b"")
    assert "holds no lines" in error_of(tmp_path, b"\n \n")
    with pytest.raises(GenrecError, match="there is no file"):
        read_json_lines(tmp_path / "nothing", SCHEMA)
    with pytest.raises(GenrecError, match="cannot read"):
        read_json_lines(tmp_path, SCHEMA)


def test_a_byte_order_mark_and_strange_text(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf" + GOOD)[0] == [(0, "k", 1.0)]
    assert read(tmp_path, b"{'key': u'\\ud83d\\ude00', 'x': b'bytes'}", read_literal_lines)[0] == [(0, "😀", None)]
    assert read(tmp_path, b'{"key": ["a", {"b": 1.5}, null], "number": NaN}')[0] == [
        (0, '["a", {"b": 1.5}, null]', None)
    ]


# What Python 2 and 3 write: no lone surrogates, which are no text.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXT, values, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(
    st.dictionaries(TEXT, VALUES, max_size=3).flatmap(
        lambda more: st.tuples(TEXT, st.integers(-(2**53), 2**53)).map(
            lambda pair: more | {"key": pair[0], "number": pair[1]}
        )
    ),
    min_size=1,
    max_size=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(RECORDS, st.sampled_from([repr, json.dumps, lambda record: json.dumps(record, ensure_ascii=False)]))
def test_any_dictionary_comes_back(tmp_path: Path, records: list[dict[str, Any]], write: Any) -> None:
    content = "\n".join(write(record) for record in records).encode()
    expected = [(row, record["key"], record["number"]) for row, record in enumerate(records)]
    assert read(tmp_path, content, read_literal_lines)[0] == expected
    if write is not repr:
        assert read(tmp_path, content)[0] == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=12) | st.sampled_from([GOOD[:-1], b"{}", *BROKEN[:9]]), min_size=1, max_size=6))
def test_fast_and_slow_path_agree(tmp_path: Path, content: list[bytes]) -> None:
    block = b"\n".join(content)
    fast, slow = lines._fast_json(block, 0, SCHEMA), lines._by_line(block, 0, SCHEMA, lines._json)
    if fast is not None:
        assert fast.select(slow.columns).equals(slow)


def test_separated_lines(tmp_path: Path) -> None:
    header = b"more,number,key\r\n"
    content = header + b'x,2,"a ""b"", c"\r\n' + b"x,1,k\r\n" * 200 + b'x,1\r\nx,1,k"k\r\n'
    rows, bad = read(tmp_path, content, read_separated_lines, separator=",", header=True)
    assert rows == [(1, 'a "b", c', 2.0), *((row, "k", 1.0) for row in range(2, 202)), (203, 'k"k', 1.0)]
    assert (bad.count, bad.total, bad.first) == (1, 203, (203,))
    message = error_of(tmp_path, b"user,key\n1,2\n", read_separated_lines, separator=",", header=True)
    assert "no column `number`; its columns are: user, key" in message
    assert read(tmp_path, "é::1\n".encode("latin-1"), read_separated_lines, separator="::", encoding="latin-1")[0] == [
        (0, "é", 1.0)
    ]
    assert "2 of 2 lines" in error_of(tmp_path, b'"a,1\n"a"b,1\n', read_separated_lines, separator=",")

"""Lists for the histories of a file: those of the library, in parts, killed and gone on with."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from filelock import FileLock

from genrec import Served, load
from genrec.errors import GenrecError
from genrec.serving import batch
from genrec.serving.batch import Batch
from genrec.serving.histories import windows
from genrec.serving.lists import Lists

from ..served import SETREC, make_run, recommender


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return load(make_run(tmp_path_factory.mktemp("batch"), recommender(SETREC)))


@pytest.fixture(autouse=True)
def small_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 16 users."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch, "BATCHES", 1)


def given(served: Served, users: int = 70) -> list[list[str]]:
    draw = random.Random(0)
    return [draw.sample(list(served.catalog.keys), draw.randrange(12)) for _ in range(users)]


def write(name: str, histories: list[list[str]], users: list[Any] | None = None) -> Path:
    path = Path(name)
    if path.suffix == ".parquet":
        named = {} if users is None else {"user": users}
        schema = {"history": pl.List(pl.String)}
        pl.DataFrame({**named, "history": histories, "age": 5}, schema_overrides=schema).write_parquet(path)
    else:
        rows = (
            histories if users is None else [{"user": u, "history": h} for u, h in zip(users, histories, strict=True)]
        )
        path.write_text("\n\n".join(map(json.dumps, rows)))
    return path


def run(served: Served, source: Path, output: str, k: int = 3, **options: Any) -> pl.DataFrame:
    asked = {"allowed": None, "repeats": False, "skip_unknown": False, **options}
    Batch(served, source, Path(output), k, **asked).run()
    return pl.read_parquet(output) if output.endswith("parquet") else pl.read_ndjson(output)


@pytest.mark.parametrize("source", ["h.jsonl", "h.parquet"])
@pytest.mark.parametrize("output", ["best.jsonl", "best.parquet"])
def test_the_lists_of_a_file_are_those_of_the_library(served: Served, source: str, output: str) -> None:
    histories = given(served)
    histories[40].append("gone")
    options = {"allowed": served.catalog.keys[:90], "skip_unknown": True}
    found = run(served, write(source, histories), output, **options)
    wanted = served.recommend(histories, 3, **options)  # type: ignore[arg-type]
    assert found.drop("score").equals(wanted.drop("score"))
    assert found["score"].to_list() == pytest.approx(wanted["score"].to_list(), abs=1e-4)
    assert sorted(path.name for path in Path().iterdir()) == sorted([source, output])


@pytest.mark.parametrize("users", [[f"u{number}" for number in range(20)], list(range(100, 120))])
@pytest.mark.parametrize("source", ["h.jsonl", "h.parquet"])
def test_users_keep_their_names(served: Served, source: str, users: list[Any]) -> None:
    found = run(served, write(source, given(served, 20), users), "best.parquet")
    assert found["user"].to_list() == [user for user in users for _ in range(3)]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("output", ["best.jsonl", "best.parquet"])
def test_what_was_killed_goes_on_and_writes_the_same_bytes(
    served: Served, output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write("h.jsonl", given(served))
    run(served, source, f"whole-{output}")
    ranked: list[int] = []
    of = Lists.of

    def counted(lists: Lists, histories: Any, first: int) -> pl.DataFrame:
        if len(ranked) == 2:
            raise Killed
        ranked.append(first)
        return of(lists, histories, first)

    monkeypatch.setattr(Lists, "of", counted)
    with pytest.raises(Killed):
        run(served, source, output)
    assert not Path(output).exists()
    assert sorted(path.name for path in Path(f"{output}.parts").glob("*.parquet")) == [
        "000000.parquet",
        "000001.parquet",
    ]
    ranked[:] = [-1] * 3
    run(served, source, output)
    assert ranked[3:] == [32, 48, 64], "only what was missing"
    assert Path(output).read_bytes() == Path(f"whole-{output}").read_bytes()
    assert not Path(f"{output}.parts").exists()
    assert f"took 32 of 70 lists from {output}.parts" in capsys.readouterr().err


def test_parts_that_were_made_otherwise_are_not_mixed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write("h.jsonl", given(served))
    monkeypatch.setattr(batch, "write_new", lambda *_: pytest.fail("stopped"))
    with pytest.raises(pytest.fail.Exception):
        run(served, source, "best.jsonl")
    with pytest.raises(
        GenrecError, match=r"`best.jsonl.parts` holds parts of lists that were made with other k, repeats:"
    ):
        run(served, source, "best.jsonl", k=4, repeats=True)
    write("h.jsonl", given(served)[:69])
    with pytest.raises(GenrecError, match="made with other histories:"):
        run(served, source, "best.jsonl")
    write("h.jsonl", given(served))
    with torch_changed(served), pytest.raises(GenrecError, match="made with other recommender:"):
        run(served, source, "best.jsonl")
    Path("best.jsonl.parts/made_of.json").write_text("{}")
    with pytest.raises(GenrecError, match=r"made with other made_of.json: .* delete the folder to begin again"):
        run(served, source, "best.jsonl")


class torch_changed:  # noqa: N801 - reads as a sentence
    """One number of a recommender is another meanwhile."""

    def __init__(self, served: Served) -> None:
        self.parameter = next(served.model.parameters()).data

    def __enter__(self) -> None:
        self.parameter.view(-1)[0] += 1

    def __exit__(self, *error: object) -> None:
        self.parameter.view(-1)[0] -= 1


def test_two_at_once_do_not_mix(served: Served) -> None:
    source = write("h.jsonl", given(served, 3))
    Path("best.jsonl.parts").mkdir()
    with FileLock("best.jsonl.parts/.lock"), pytest.raises(GenrecError, match=r"another process writes `best.jsonl`"):
        run(served, source, "best.jsonl")


WRONG = {
    "[": "h.jsonl, line 3: not valid JSON",
    "5": 'h.jsonl, line 3: a history is a list of item keys, which are texts, such as ["m1", "m7"], not 5',
    '["a", 5]': "h.jsonl, line 3: a history is a list",
    "{}": 'h.jsonl, line 3: a history is a list of item keys, which are texts, such as ["m1", "m7"], not None',
    '{"user": "u", "history": null}': "line 3: a history is a list of item keys",
    '{"user": 1.5, "history": []}': "h.jsonl, line 3: `user` is a text or a whole number, not 1.5",
    '{"user": null, "history": []}': "h.jsonl, line 3: `user` is a text or a whole number, not None",
    '{"user": 99999999999999999999, "history": []}': "line 3: `user` is a text or a whole number, not 99999",
    '{"user": "u", "history": []}': "h.jsonl, line 3: `user` is 'u', but missing in the rows before: write all alike",
    '["gone"]': "h.jsonl, line 3: there is no item `gone` in the catalogue",
    "ALL": "h.jsonl, line 3: cannot recommend 3 items of 140, 138 of which this user has taken",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_bad_row_is_named_before_anybody_is_ranked(
    line: str, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.model, "rank", lambda *_: pytest.fail("ranked"))
    bad = json.dumps(list(served.catalog.keys)[:138]) if line == "ALL" else line
    Path("h.jsonl").write_text(f"[]\n\n{bad}\n")
    with pytest.raises(GenrecError, match=re.escape(WRONG[line])):
        run(served, Path("h.jsonl"), "best.jsonl")
    assert not Path("best.jsonl.parts").exists()


TABLES: dict[str, tuple[dict[str, Any], str]] = {
    "no column": ({"items": [["a"]]}, "`h.parquet` has no column `history` (--histories), but items"),
    "null": ({"history": [["a"], None]}, "h.parquet, row 2: a history is a list of item keys"),
    "numbers": ({"history": [[1]]}, "h.parquet, row 1: a history is a list of item keys"),
    "null in it": ({"history": [["a"], ["a", None]]}, "h.parquet, row 2: a history is a list of item keys"),
    "no name": ({"history": [["a"]] * 2, "user": ["u", None]}, "row 2: `user` is a text or a whole number, not None"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_bad_table(name: str) -> None:
    columns, message = TABLES[name]
    pl.DataFrame(columns).write_parquet("h.parquet")
    with pytest.raises(GenrecError, match=re.escape(message)):
        list(windows(Path("h.parquet"), 10))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("h.jsonl", b"\n", "`h.jsonl` holds no histories (--histories)"),
        ("h.csv", b"a", "histories are read from .parquet or .jsonl, not `h.csv` (--histories)"),
        ("h.parquet", b"a", "cannot read `h.parquet` (--histories): "),
        ("h.jsonl.gz", b"\x1f\x8b\x08\x00", "cannot read `h.jsonl.gz` (--histories): "),
    ],
)
def test_a_file_that_is_none(name: str, content: bytes, message: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(GenrecError, match=re.escape(message)):
        list(windows(Path(name), 10))

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from genrec import Served, load
from genrec.cli import main
from genrec.errors import GenrecError
from genrec.serving.given import read_history, read_items

from ..served import SETREC, TIGER, make_run, recommender


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("recommend"), recommender(SETREC))


@pytest.fixture(scope="module")
def served(run: Path) -> Served:
    return load(run)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(["recommend", *arguments])
    assert exit_.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()[-1:]
    assert line.startswith("genrec: error: ")
    return line


def test_histories_and_recommendations_with_their_titles(
    run: Path, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, titles = served.catalog.keys, served.catalog.titles
    # As an editor of Windows writes it.
    Path("allowed.txt").write_text("\r\n".join([*keys[10:30], ""]), encoding="utf-8-sig", newline="")
    arguments = ["--history", f"{keys[3]}, {keys[4]}", "--history", "", "--k", "4", "--allow", "allowed.txt"]
    main(["recommend", "--run", str(run), *arguments, "--output", "best.jsonl"])
    found = served.recommend([[keys[3], keys[4]], []], k=4, allowed=keys[10:30])
    assert pl.read_ndjson("best.jsonl")["item"].to_list() == found["item"].to_list()
    said = capsys.readouterr().out
    shown = [line.split("│")[1:5] for line in said.splitlines() if line.startswith("│")]
    expected = [["took", keys[row], titles[row], ""] for row in (3, 4)]
    for rank, item, title, score in found.select("rank", "item", "title", "score").iter_rows():
        expected.append([str(rank), item, title, f"{score:.4f}"])
    assert [[cell.strip() for cell in line] for line in shown] == expected
    assert "user 0" in said
    assert "wrote 8 recommendations to best.jsonl" in said


@pytest.mark.parametrize("command", [["recommend", "--run", "RUN", "--history", ""], ["inspect", "RUN"]])
def test_the_folder_of_the_data_is_given_as_to_every_command(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []

    def load(*arguments: object) -> None:
        asked.append(arguments)
        raise GenrecError("no more is asked here")

    monkeypatch.setattr("genrec.serving.served.load", load)
    with pytest.raises(SystemExit):
        main([*command, "--data.root", "DIR"])
    assert [each[:3] for each in asked] == [("RUN", "DIR", False)]


def test_new_items_are_added_before(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [{"item": "new", "title": "[b]Brass Kettle[/b]", "price": 3, "weight": "1 kg"}, {"item": "other"}]
    Path("new.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    Path("allowed.txt").write_text("new\nother\n")
    common = ["--run", str(run), "--new-items", "new.jsonl", "--allow", "allowed.txt"]
    main(["recommend", *common, "--history", "other", "--k", "1", "--output", "best.parquet"])
    assert pl.read_parquet("best.parquet")["item"].to_list() == ["new"]
    said = capsys.readouterr()
    assert "[b]Brass Kettle[/b]" in said.out
    assert "added" not in said.out
    assert "added 2 items of new.jsonl" in said.err.splitlines()
    main(["recommend", *common, "--history", "other", "--k", "2", "--repeats", "--output", "best.parquet"])
    assert sorted(pl.read_parquet("best.parquet")["item"]) == ["new", "other"]
    assert len(pl.read_parquet("best.1.parquet")) == 1


def test_items_that_are_read_are_not_recommended(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("read.jsonl").write_text('{"item": "elsewhere", "title": "Brass Kettle"}')
    common = ["--run", str(run), "--read-items", "read.jsonl", "--history", "elsewhere"]
    items = len(load(run).catalog)
    main(["recommend", *common, "--k", str(items), "--output", "all.parquet"])
    assert "Brass Kettle" in capsys.readouterr().out
    assert "elsewhere" not in pl.read_parquet("all.parquet")["item"]
    assert f"cannot recommend {items + 1} items of {items}" in complaint(capsys, *common, "--k", str(items + 1))
    Path("allowed.txt").write_text("elsewhere\n")
    assert "`elsewhere` is read in histories" in complaint(capsys, *common, "--allow", "allowed.txt", "--k", "1")


def test_an_index_says_what_it_finds(run: Path, served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--run", str(run), "--history", served.catalog.keys[0], "--k", "3"]
    main(["recommend", *arguments, "--index", "ivf_pq"])
    share = load(run).build_index("ivf_pq", k=3)
    assert f"ivf_pq index: recall@3 against exact search is {share:.3f}" in capsys.readouterr().out
    main(["recommend", *arguments, "--index", "exact"])
    assert "exact index: recall@3 against exact search is 1.000" in capsys.readouterr().out


def test_wrong_arguments(run: Path, served: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    common = ["--run", str(run), "--history", ""]
    assert "one of the arguments --history --histories is required" in complaint(capsys, "--run", str(run))
    histories = ["--run", str(run), "--histories", "histories.jsonl"]
    assert "not allowed with argument --histories" in complaint(capsys, *histories, "--history", "")
    assert "give --output FILE" in complaint(capsys, *histories)
    assert "no file `histories.jsonl` (--histories)" in complaint(capsys, *histories, "--output", "best.jsonl")
    assert "not `best.csv` (--output)" in complaint(capsys, *common, "--output", "best.csv")
    assert "cannot read `allowed.txt` (--allow)" in complaint(capsys, *common, "--allow", "allowed.txt")
    Path("allowed.txt").write_text("\n")
    assert "`allowed.txt` holds no item keys (--allow)" in complaint(capsys, *common, "--allow", "allowed.txt")
    Path("allowed.txt").write_text("nothing-like-it\n")
    # Nothing has been said of the index yet: what is unknown is known before one is built.
    wrong = complaint(capsys, *common, "--allow", "allowed.txt", "--index", "exact")
    assert "allowed.txt (--allow): there is no item `nothing-like-it`" in wrong
    unknown = complaint(capsys, "--run", str(run), "--history", "it-is-not-there", "--index", "exact")
    assert "--history: there is no item `it-is-not-there`" in unknown
    assert "no trained recommender in `nowhere`" in complaint(capsys, "--run", "nowhere", "--history", "")
    large = complaint(capsys, *common, "--k", "1000")
    assert f"cannot recommend 1000 items of {len(served.catalog)}" in large
    other = make_run(tmp_path / "tiger", recommender(TIGER))
    assert "TIGER ranks items neither by one inner product" in complaint(
        capsys, "--run", str(other), "--history", "", "--index", "exact"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"line 3: not valid JSON"),
        ("[1]", r"line 3: not a JSON object"),
        ("{}", r"line 3: `item` is a text, not None"),
        ('{"item": " "}', r"line 3: `item` is a text, not ' '"),
        ('{"item": "x", "title": 5}', r"line 3: `title` is a text, not 5"),
        ('{"item": "x", "categories": "Toys"}', r"line 3: `categories` is a list of texts, not 'Toys'"),
        ('{"item": "x", "price": "cheap"}', r"line 3: `price` is a number, not 'cheap'"),
    ],
)
def test_a_bad_line_of_new_items(line: str, message: str) -> None:
    Path("new.jsonl").write_text('{"item": "good", "categories": ["Toys"], "price": 1.5}\n\n' + line)
    with pytest.raises(GenrecError, match=rf"^new\.jsonl, {message}"):
        read_items(Path("new.jsonl"), "--new-items")


def test_fields_that_no_item_has_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    Path("new.jsonl").write_text('{"item": "a", "titel": "T"}\n{"item": "b", "titel": "T", "colour": "red"}')
    assert read_items(Path("new.jsonl"), "--new-items")["title"].to_list() == [None, None]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("new.jsonl: `colour` (1), `titel` (2) are no fields of an item, and are left out: item, ")


def test_half_a_character() -> None:
    Path("new.jsonl").write_text('{"item": "good"}\n{"item": "a", "title": "\\ud800"}')
    with pytest.raises(GenrecError, match=r"^new\.jsonl, line 2: half a character"):
        read_items(Path("new.jsonl"), "--new-items")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", []),
        (" , ,", []),
        ("a, b ,c", ["a", "b", "c"]),
        ('"a,b", c', ["a,b", "c"]),
        ('"say ""yes""",b', ['say "yes"', "b"]),
        ("a'b", ["a'b"]),
        ('["a,b", " c"]', ["a,b", " c"]),
        (" [ ]", []),
        ("[x],y", ["[x]", "y"]),
    ],
)
def test_a_history_by_hand(text: str, keys: list[str]) -> None:
    assert read_history(text) == keys


def test_a_quote_that_is_not_closed() -> None:
    with pytest.raises(GenrecError, match="is no list of keys between commas"):
        read_history('"a,b')


@pytest.mark.parametrize(
    ("text", "message"),
    [('["a", b]', "not valid JSON"), ('["a", 1]', "no list of texts"), ('["a"], b', "not valid JSON")],
)
def test_a_list_of_json_that_is_none(text: str, message: str) -> None:
    with pytest.raises(GenrecError, match=f"--history .*{message}"):
        read_history(text)


def test_the_histories_of_a_file(run: Path, served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    Path("histories.jsonl").write_text(json.dumps(list(served.catalog.keys[3:5])) + "\n[]")
    arguments = ["--run", str(run), "--histories", "histories.jsonl", "--k", "4", "--index", "exact"]
    main(["recommend", *arguments, "--output", "best.parquet"])
    found = served.recommend([served.catalog.keys[3:5], []], k=4)
    assert pl.read_parquet("best.parquet")["item"].to_list() == found["item"].to_list()
    assert capsys.readouterr().out.endswith("wrote 8 recommendations to best.parquet\n")


def test_no_new_items() -> None:
    with pytest.raises(GenrecError, match=r"there is no file `new\.jsonl` \(--new-items\)"):
        read_items(Path("new.jsonl"), "--new-items")
    Path("new.jsonl").write_text("\n")
    with pytest.raises(GenrecError, match=r"`new\.jsonl` holds no items"):
        read_items(Path("new.jsonl"), "--new-items")

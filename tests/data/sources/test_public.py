"""Every public source from a web server to a data card."""

from __future__ import annotations

import gzip
import io
import json
import multiprocessing
import random
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from genrec.cli import main
from genrec.data import Amazon, Dataset, LeaveOneOut, MovieLens, Public, Steam, download
from genrec.data.card import card
from genrec.data.files import compressed
from genrec.errors import GenrecError

from ..server import FileServer, running

DAY = 86400
START = 1_300_000_000 // DAY * DAY
USERS, ITEMS, EVENTS = 40, 30, 12


def visits() -> Iterator[tuple[int, int, int]]:
    """User, item, day: everybody walks through the items, five steps apart from his neighbour."""
    for user in range(USERS):
        for step in range(EVENTS):
            yield user, (5 * user + step) % ITEMS, 10 * step + user % 7


def lines(records: Iterator[object] | list[object], write=json.dumps) -> bytes:
    return gzip.compress("".join(write(record) + "\n" for record in records).encode())


def amazon(version: int) -> dict[str, bytes]:
    if version == 2014:
        reviews = [
            {"reviewerID": f"A{u}", "asin": f"B00{i}", "unixReviewTime": START + DAY * t, "reviewText": "so so"}
            for u, i, t in visits()
        ]
        meta = [
            {"asin": f"B00{i}", "title": f"Widget &amp; Co {i}", "categories": [["Toys", f"Kind {i % 3}"], ["Other"]]}
            for i in range(ITEMS)
        ]
        return {"reviews_Pens_5.json.gz": lines(reviews), "meta_Pens.json.gz": lines(meta, write=repr)}
    reviews = [
        {"user_id": f"A{u}", "parent_asin": f"B00{i}", "asin": "variant", "timestamp": (START + DAY * t) * 1000}
        for u, i, t in visits()
    ]
    meta = [
        {
            "parent_asin": f"B00{i}",
            "title": f"Widget & Co {i}",
            "store": "Acme",
            "categories": ["Toys", f"Kind {i % 3}"],
        }
        for i in range(ITEMS)
    ]
    return {"Pens.jsonl.gz": lines(reviews), "meta_Pens.jsonl.gz": lines(meta)}


def steam() -> dict[str, bytes]:
    reviews = [
        {"username": f"u{u}", "product_id": str(i), "date": time.strftime("%Y-%m-%d", time.gmtime(START + DAY * t))}
        for u, i, t in visits()
    ]
    games = [{"id": str(i), "app_name": f"Game {i}", "genres": ["Action"], "developer": "Valve"} for i in range(ITEMS)]
    return {"steam_reviews.json.gz": lines(reviews, write=repr), "steam_games.json.gz": lines(games, write=repr)}


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text.encode("latin-1"))
    return buffer.getvalue()


def movielens() -> dict[str, bytes]:
    ratings = [(u, i, 4, START + DAY * t) for u, i, t in visits()]
    flags = "|".join(["0"] * 5 + ["1"] + ["0"] * 13)
    hundred = {
        "ml-100k/u.data": "".join("\t".join(map(str, row)) + "\n" for row in ratings),
        "ml-100k/u.item": "".join(f"{i}|Caf\xe9 {i} (1999)|01-Jan-1999||http://x|{flags}\n" for i in range(ITEMS)),
    }
    million = {
        "ml-1m/ratings.dat": "".join("::".join(map(str, row)) + "\n" for row in ratings),
        "ml-1m/movies.dat": "".join(f"{i}::Caf\xe9 {i} (1999)::Comedy|War\n" for i in range(ITEMS)),
    }
    latest = {
        "ml-latest-small/ratings.csv": "userId,movieId,rating,timestamp\n"
        + "".join(",".join(map(str, row)) + "\n" for row in ratings),
        "ml-latest-small/movies.csv": "movieId,title,genres\n"
        + "".join(f'{i},"Film, the {i} (1999)",Comedy|War\n' for i in range(ITEMS)),
    }
    archives = {"ml-100k.zip": hundred, "ml-1m.zip": million, "ml-latest-small.zip": latest}
    return {name: zipped(**members) for name, members in archives.items()}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(download, "BACKOFF", 0)
    with running(FileServer()) as server:
        server.files = {**amazon(2014), **amazon(2023), **steam(), **movielens()}
        yield server


SOURCES = {
    "amazon-2014": lambda mirror: Amazon("Pens", 2014, mirror=mirror),
    "amazon-2023": lambda mirror: Amazon("Pens", 2023, mirror=mirror),
    "steam": lambda mirror: Steam(k_core=5, mirror=mirror),
    "movielens-100k": lambda mirror: MovieLens("100k", mirror=mirror),
    "movielens-1m": lambda mirror: MovieLens("1m", mirror=mirror),
    "movielens-latest-small": lambda mirror: MovieLens("latest-small", mirror=mirror),
}


def timelines(dataset: Dataset) -> list[list[str]]:
    keys = dataset.catalog.keys
    joined = dataset.train.join(dataset.validation).join(dataset.test)
    return [[keys[item] for item in items] for items in joined]


@pytest.mark.parametrize("name", SOURCES)
def test_from_the_server_to_the_card(server: FileServer, tmp_path: Path, name: str) -> None:
    source: Public = SOURCES[name](server.url)
    dataset = source.load(tmp_path)
    found = card(dataset)
    assert (found["users"], found["items"], found["interactions"]["total"]) == (USERS, ITEMS, USERS * EVENTS)
    assert found["text"]["title"] == found["text"]["categories"] == 1
    assert [lines["bad"] for lines in found["bad_lines"]] == [0, 0]
    assert len(found["raw_files"]) == len(source.remote_files())
    assert all(len(digest) == 64 for digest in found["raw_files"].values())
    walk = [int(key.removeprefix("B00")) for key in timelines(dataset)[1]]
    assert walk == [(5 + step) % ITEMS for step in range(EVENTS)], "in the order of time"
    # Again: nothing is asked of the server, nothing is made.
    requests, made = len(server.requests), {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    again = SOURCES[name](server.url).load(tmp_path)
    assert timelines(again) == timelines(dataset)
    assert again.catalog.items.equals(dataset.catalog.items)
    assert len(server.requests) == requests
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == made


def test_text_is_cleaned(server: FileServer, tmp_path: Path) -> None:
    fourteen = Amazon("Pens", 2014, mirror=server.url).load(tmp_path).catalog
    row = fourteen.keys.index("B004")
    assert fourteen.texts()[row] == "Widget & Co 4. Toys, Kind 1"
    catalog = MovieLens("100k", mirror=server.url).load(tmp_path).catalog
    assert catalog.titles[catalog.keys.index("3")] == "Caf\xe9 3 (1999)"


def test_the_real_gift_cards_from_the_server(server: FileServer, shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "others" / "amazon-2018-gift-cards"
    for path in folder.glob("*.gz"):
        server.files[path.name] = path.read_bytes()
    found = card(Amazon("Gift_Cards", 2018, k_core=1, mirror=server.url).load(tmp_path))
    assert found["interactions_read"] == 2972
    assert found["text"]["title"] == 1
    again = card(Amazon("Gift_Cards", 2018, k_core=1, files=str(folder)).load(tmp_path))
    assert again == found


def test_the_real_movielens_from_a_folder(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "others" / "movielens-latest-small-2016"
    dataset = MovieLens("latest-small", k_core=1, files=str(folder)).load(tmp_path)
    assert dataset.notes["interactions_read"] == 100_004
    assert card(dataset)["text"]["title"] == 1


def test_another_setting_or_file_is_another_data_set(server: FileServer, tmp_path: Path) -> None:
    Amazon("Pens", 2014, mirror=server.url).load(tmp_path)
    Amazon("Pens", 2014, k_core=6, mirror=server.url).load(tmp_path)
    assert len(list((tmp_path / "prepared").glob("pens-*"))) == 2
    for path in (tmp_path / "raw" / "amazon-2014").iterdir():
        path.unlink()
    server.files["reviews_Pens_5.json.gz"] = lines(
        [
            {"reviewerID": f"A{u}", "asin": f"B00{i}", "unixReviewTime": START + DAY * t}
            for u, i, t in visits()
            if u < 30
        ]
    )
    assert len(Amazon("Pens", 2014, mirror=server.url).load(tmp_path).users) == 30


def test_published_counts_are_compared(server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = "{users: 40, items: 31}"
    source = f"{{class_path: Amazon, init_args: {{category: Pens, mirror: '{server.url}', expected: {expected}}}}}"
    config = tmp_path / "pens.yaml"
    config.write_text(
        f"data: {{root: {tmp_path}, source: {source}}}\nassets: {{root: {tmp_path}}}\n"
        "model: {class_path: Popularity, init_args: {ks: [1]}}"
    )
    main(["prepare", "--config", str(config)])
    said = capsys.readouterr().out
    assert "users: 40 (so it is)" in said
    assert "items: 31 (NOT SO: 30)" in said
    assert json.loads((tmp_path / "cards" / "pens.json").read_text())["items"] == 30


def test_what_is_not_in_the_folder_of_files(tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match=r"no reviews_Pens_5\.json\.gz and no meta_Pens\.json\.gz in"):
        Amazon("Pens", files=str(tmp_path)).load(tmp_path)
    with pytest.raises(GenrecError, match="there are: 100k, 1m"):
        MovieLens("2m")


def test_a_raw_file_that_is_no_raw_file(server: FileServer, tmp_path: Path) -> None:
    server.files["reviews_Pens_5.json.gz"] = b"<html>come back tomorrow</html>\n"
    with pytest.raises(GenrecError, match=r"reviews_Pens_5\.json\.gz"):
        Amazon("Pens", mirror=server.url).load(tmp_path)
    assert not list((tmp_path / "prepared").glob("pens-*"))


def _load(url: str, root: Path) -> None:
    Amazon("Pens", mirror=url).load(root)


@pytest.mark.slow
def test_processes_at_the_same_time_prepare_once(server: FileServer, tmp_path: Path) -> None:
    # Fresh processes: polars has threads, which do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_load, args=(server.url, tmp_path)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(server.requests) == 2, "each file is asked for once"
    assert len(list((tmp_path / "prepared").glob("pens-*"))) == 1


@pytest.mark.slow
def test_killed_at_any_moment_the_next_run_makes_the_same(server: FileServer, tmp_path: Path) -> None:
    whole = Amazon("Pens", mirror=server.url).load(tmp_path / "whole")
    spawn = multiprocessing.get_context("forkserver")
    spawn.set_forkserver_preload(["genrec.data"])
    seconds = []
    for _ in range(2):
        process = spawn.Process(target=_load, args=(server.url, tmp_path / f"timed{len(seconds)}"))
        start = time.monotonic()
        process.start()
        process.join()
        seconds.append(time.monotonic() - start)
    rng = random.Random(0)
    for attempt in range(20):
        root = tmp_path / str(attempt)
        process = spawn.Process(target=_load, args=(server.url, root))
        process.start()
        time.sleep(rng.uniform(0, seconds[-1]))
        process.kill()  # which may have come to its end
        process.join()
        after = Amazon("Pens", mirror=server.url).load(root)
        assert timelines(after) == timelines(whole)
        assert after.catalog.items.equals(whole.catalog.items)
        assert not list((root / "raw").rglob("*.part"))
        assert not list((root / "prepared").glob(".*.unfinished/result"))


def test_a_named_config_goes_from_nothing_to_ready_data(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    start = 1_381_795_200  # 2013-10-15: the release's two days lie within the 116 days of visits
    reviews = [{"reviewerID": f"A{u}", "asin": f"B{i}", "unixReviewTime": start + DAY * t} for u, i, t in visits()]
    meta = [{"asin": f"B{i}", "title": f"Toy train number {i}", "categories": [["Toys"]]} for i in range(ITEMS)]
    server.files["reviews_Toys_and_Games_5.json.gz"] = lines(reviews)
    server.files["meta_Toys_and_Games.json.gz"] = lines(meta, write=repr)
    command = ["--config", "toys_setrec_small.yaml", "--model.init_args.ks=[1,2]"]
    command += [f"--data.source.init_args.otherwise.init_args.mirror={server.url}"]
    command += ["--assets.text=TfidfText", "--assets.text.init_args.dim=8"]
    command += ["--assets.cf.init_args.otherwise.init_args.max_epochs=1"]
    main(["prepare", *command])
    said = capsys.readouterr().out
    assert "data card of toys" in said
    assert "users: 15,635 (NOT SO: 40)" in said
    assert "validation: 2013-11-2" in said
    built = sorted(path.name for path in (tmp_path / "data" / "assets").glob("[!.]*-*"))
    assert [name.rsplit("-", 1)[0] for name in built] == ["cf-released", "text-tfidf-8"]
    requests = len(server.requests)
    main(["prepare", *command])
    assert "built" not in capsys.readouterr().out
    assert len(server.requests) == requests == 2


def unpacked(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name.removesuffix(".gz"): gzip.decompress(content) for name, content in files.items()}


def members(name: str, **renamed: str) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(movielens()[name])) as archive:
        return {renamed.get(Path(each).suffix[1:], each): archive.read(each) for each in archive.namelist()}


def ratings(order: str) -> bytes:
    rows = ({"u": f"A{u}", "i": f"B00{i}", "r": "5.0", "t": str(START + DAY * t)} for u, i, t in visits())
    return "".join(",".join(row[part] for part in order) + "\n" for row in rows).encode()


def benchmark() -> dict[str, bytes]:
    """The 2023 collection, cut by its owners: everybody's last two are held out; rows know what came before."""
    parts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    before: dict[int, list[str]] = {}
    for u, i, t in visits():
        history = before.setdefault(u, [])
        part = {EVENTS - 2: "valid", EVENTS - 1: "test"}.get(len(history), "train")
        parts[part].append(f"A{u},B00{i},5.0,{START + DAY * t}000,{' '.join(history)}\n")
        history.append(f"B00{i}")
    header = "user_id,parent_asin,rating,timestamp,history\n"
    return {f"Pens.{part}.csv.gz": gzip.compress((header + "".join(rows)).encode()) for part, rows in parts.items()}


MILLISECONDS = b"user_id,parent_asin,rating,timestamp\n" + ratings("uirt").replace(b"\n", b"000\n")
FLOATS = {
    "ratings.csv": b"userId,movieId,rating,timestamp\n"
    + "".join(f"{u}.0,{i}.0,4.0,{START + DAY * t}\n" for u, i, t in visits()).encode(),
    "movies.csv": b"movieId,title,genres\n" + "".join(f"{i},T{i},War\n" for i in range(ITEMS)).encode(),
}


def in_utf8(text: bytes) -> str:
    """Text that `zipped` writes as UTF-8."""
    return text.decode("latin-1").encode().decode("latin-1")


TEN = {"x.zip": zipped(**{f"ml-10M100K/{Path(n).name}": in_utf8(text) for n, text in members("ml-1m.zip").items()})}
LOOSE = [in_utf8(members("ml-1m.zip")[f"ml-1m/{name}.dat"]).encode("latin-1") for name in ("ratings", "movies")]
PRESENT = {
    "amazon unpacked": (Amazon("Pens"), unpacked(amazon(2014)), True),
    "amazon renamed": (Amazon("Pens"), dict(zip(("a.json.gz", "b.json.gz"), amazon(2014).values(), strict=True)), True),
    "amazon 2023 renamed": (Amazon("Pens", 2023), dict(zip("ab", amazon(2023).values(), strict=True)), True),
    "ratings of 2014": (Amazon("Pens"), {"ratings_Pens.csv": ratings("uirt")}, False),
    "ratings of 2018": (Amazon("Pens", 2018), {"Pens.csv": ratings("iurt")}, False),
    "ratings of 2023": (Amazon("Pens", 2023), {"any.csv": MILLISECONDS}, False),
    "benchmark of 2023": (Amazon("Pens", 2023), benchmark(), False),
    "its metadata too": (Amazon("Pens", 2023), {**dict([*amazon(2023).items()][1:]), **benchmark()}, True),
    "movielens 10m, loose": (MovieLens("10m"), dict(zip(("r.dat", "m.dat"), LOOSE, strict=True)), True),
    "steam unpacked": (Steam(k_core=5), unpacked(steam()), True),
    "movielens in its folder": (MovieLens("1m"), members("ml-1m.zip"), True),
    "movielens renamed": (MovieLens("1m"), {"mine.zip": movielens()["ml-1m.zip"]}, True),
    "movielens 10m": (MovieLens("10m"), TEN, True),
    "ids that were floats": (MovieLens("latest-small"), FLOATS, True),
}  # fmt: skip


@pytest.mark.parametrize("name", PRESENT)
def test_files_that_are_there_are_found_by_name_or_content(tmp_path: Path, name: str) -> None:
    source, files, text = PRESENT[name]
    for file, content in files.items():
        path = tmp_path / "mine" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    source.files = str(tmp_path / "mine")
    dataset = source.load(tmp_path)
    found = card(dataset)
    assert (found["users"], found["items"], found["interactions"]["total"]) == (USERS, ITEMS, USERS * EVENTS)
    assert found["text"]["title"] == text
    if "10m" in name:
        assert dataset.catalog.titles[dataset.catalog.keys.index("3")] == "Caf\xe9 3 (1999)"
    assert ("findings" in found) == (not text), "what is missing is said"


def test_a_split_of_others_is_kept_or_refused(tmp_path: Path) -> None:
    files = tmp_path / "last_out"
    files.mkdir()
    for name, content in benchmark().items():
        (files / name).write_bytes(content)
    dataset = Amazon("Pens", 2023, files=str(files)).load(tmp_path)
    for part, kept in ((dataset.validation, 1), (dataset.test, 1), (dataset.train, EVENTS - 2)):
        assert set(part.lengths.tolist()) == {kept}
    assert dataset.notes["times"]["test"][1] == START + DAY * max(t for *_, t in visits()), (
        "milliseconds became seconds"
    )
    with pytest.raises(GenrecError, match=r"Pens\.train\.csv\.gz and its like come already cut: leave `split` out"):
        Amazon("Pens", 2023, files=str(files), split=LeaveOneOut()).load(tmp_path)
    (files / "Pens.valid.csv.gz").unlink()
    with pytest.raises(GenrecError, match=r"pens: there is no Pens\.valid\.csv in"):
        Amazon("Pens", 2023, files=str(files)).load(tmp_path)


def test_ratings_that_are_no_numbers_and_metadata_of_others(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_bytes(FLOATS["ratings.csv"].replace(b",4.0,1", b",good,1"))
    (tmp_path / "movies.csv").write_bytes(FLOATS["movies.csv"])
    with pytest.raises(GenrecError, match=r"480 of 480 lines cannot be read \(line 2, 3, 4"):
        MovieLens("latest-small", files=str(tmp_path), min_rating=3).load(tmp_path)
    (tmp_path / "ratings.csv").write_bytes(FLOATS["ratings.csv"])
    rows = FLOATS["movies.csv"].splitlines(keepends=True)
    (tmp_path / "movies.csv").write_bytes(b"".join(rows[:-2]))
    found = card(MovieLens("latest-small", files=str(tmp_path)).load(tmp_path))["findings"]
    assert found["items that the item table lacks, kept without text"] == 2
    (tmp_path / "movies.csv").write_bytes(rows[0] + b"999,T,War\n")
    with pytest.raises(GenrecError, match=r"none of the items that were taken is in `movies\.csv`"):
        MovieLens("latest-small", files=str(tmp_path)).load(tmp_path)


def test_several_files_that_may_be_it(tmp_path: Path) -> None:
    reviews, meta = amazon(2014).values()
    for name, content in {"a": reviews, "b": reviews, "c": meta}.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(
        GenrecError, match=r"several files that may be the reviews: a, b; name the right one reviews_Pens"
    ):
        Amazon("Pens", files=str(tmp_path)).load(tmp_path)


def test_ratings_below_are_left_out_and_repetitions_kept(tmp_path: Path) -> None:
    rows = [(u, i, 4 if i else 2, START + DAY * t) for u, i, t in visits()]
    rows += [(u, 7, 5, START + DAY * 200 + u) for u in range(USERS)]
    (tmp_path / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    )
    (tmp_path / "movies.csv").write_bytes(FLOATS["movies.csv"])
    source = MovieLens("latest-small", k_core=1, files=str(tmp_path), min_rating=3, repeats="all")
    found = card(source.load(tmp_path))
    low = sum(row[2] < 3 for row in rows)
    assert found["findings"] == {"interactions rated below 3, left out": low}
    assert found["interactions"]["total"] == len(rows) - low
    assert found["repeated"] > 0


def test_archives_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(movielens()["ml-1m.zip"])
    for start in (content.find(b"PK\x03\x04"), content.find(b"PK\x01\x02")):
        content[start + (6 if content[start + 2] == 3 else 8)] |= 1  # the flag of an encrypted member
    (tmp_path / "ml-1m.zip").write_bytes(content)
    with pytest.raises(GenrecError, match=r"`ml-1m/ratings\.dat` of .* cannot be unpacked: .*encrypted"):
        MovieLens("1m", files=str(tmp_path)).load(tmp_path)
    monkeypatch.setattr(compressed, "HARMLESS", 10_000)
    with zipfile.ZipFile(tmp_path / "ml-1m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ml-1m/ratings.dat", b"1::1::1::1\n" * 1_000_000)
    with pytest.raises(GenrecError, match="unpacks to 11,000,000 or more: that is no file of records"):
        MovieLens("1m", files=str(tmp_path)).load(tmp_path)
    assert not list((tmp_path / "prepared").glob("movielens*"))

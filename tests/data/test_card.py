from __future__ import annotations

import json
from collections.abc import Callable

import polars as pl
import pytest

from genrec.data import Catalog, Dataset, Ragged, log
from genrec.data.card import card, print_card
from genrec.data.folder import load, save


def test_counts_by_hand(dataset: Dataset) -> None:
    found = card(dataset)
    assert (found["users"], found["items"], found["warm"], found["cold"]) == (8, 12, 8, 4)
    assert found["interactions"] == {"train": 32, "validation": 8, "test": 8, "total": 48}
    assert found["users_with"] == {"train": 8, "validation": 8, "test": 8}
    assert found["test_targets"] == {"warm": 0, "cold": 8}
    assert found["density"] == 48 / 96
    assert found["history"] == {"min": 4, "median": 4, "mean": 4, "max": 4}
    assert found["text"] == {"title": 1, "brand": 0.5, "categories": 1, "description": 0, "price": 0}
    assert found["repeated"] == 0


@pytest.mark.parametrize("together", [1 << 22, 20, 1])
def test_repetitions_are_counted_over_the_whole_timeline(
    dataset: Dataset, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "PART", together)
    again = Dataset("again", dataset.catalog, dataset.users, dataset.train, dataset.train, dataset.test)
    assert card(again)["repeated"] == pytest.approx(32 / 72)


def test_notes_are_printed_for_people(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    notes = {
        "times": {"training": (0, 86400 * 16000)},
        "users_left_out": {"not in the 5-core": 1234},
        "bad_lines": [{"file": "log.json", "bad": 2, "of": 1000, "first": [7, 9]}],
        "raw_files": {"log.json": "ab" * 32},
    }
    parts = (dataset.train, dataset.validation, dataset.test)
    noted = Dataset("noted", dataset.catalog, dataset.users, *parts, notes=notes)
    json.dumps(card(noted))
    print_card(card(noted))
    said = capsys.readouterr().out
    for words in (
        "0 to 2013-10-22",
        "not in the 5-core: 1,234",
        "2 of 1,000, the first: 7, 9",
        "sha256 abababababababab",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (23_766_200, "23,766,200"),
        (86400.0 * 16000, "2013-10-22"),
        (86400 * 16000 + 61, "2013-10-22 00:01:01"),
        (1_600_000_000_000, "1,600,000,000,000"),
    ],
)
def test_times_are_dates_or_whole_numbers(
    dataset: Dataset, capsys: pytest.CaptureFixture[str], time: float, said: str
) -> None:
    parts = (dataset.train, dataset.validation, dataset.test)
    noted = Dataset("noted", dataset.catalog, dataset.users, *parts, notes={"times": {"test": (time, time)}})
    print_card(card(noted))
    assert f"test: {said} to {said} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "users", "items", "train", "validation", "test", "cold"),
    [
        ("toys", 15_635, 11_908, 114_983, 12_740, 14_776, 623),
        ("beauty", 18_136, 12_024, 132_990, 16_641, 17_579, 617),
        ("sports", 27_591, 18_340, 176_605, 30_901, 31_989, 970),
    ],
)
def test_the_releases_own_counts(
    released: Callable[[str], Dataset],
    name: str,
    users: int,
    items: int,
    train: int,
    validation: int,
    test: int,
    cold: int,
) -> None:
    found = card(released(name))
    counts = {"train": train, "validation": validation, "test": test, "total": train + validation + test}
    assert (found["users"], found["items"], found["cold"]) == (users, items, cold)
    assert found["interactions"] == counts


def test_a_saved_data_set_is_the_same(dataset: Dataset, tmp_path) -> None:
    notes = {"times": {"training": [0, 1]}}
    empty = Ragged.from_lists([[3], *[[]] * 7])
    catalog = Catalog(dataset.catalog.items.with_columns(tags=pl.col("title").str.split(" ").list.first()))
    before = Dataset("some", catalog, dataset.users, dataset.train, empty, dataset.test, notes=notes)
    save(before, tmp_path)
    after = load(tmp_path)
    assert after.catalog.items.equals(before.catalog.items)
    assert after.catalog.items["tags"].to_list() == ["red"] * 6 + ["blue"] * 6
    assert (after.name, after.users, after.notes) == (before.name, before.users, notes)
    for part in ("train", "validation", "test"):
        assert [x.tolist() for x in getattr(after, part)] == [x.tolist() for x in getattr(before, part)]

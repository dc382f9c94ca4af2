from __future__ import annotations

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from genrec.data import Dataset, DateSplit, LeaveOneOut, QuantileSplit, Split
from genrec.data.interactions import deduplicate
from genrec.data.splits import split as split_lines
from genrec.data.timelines import Timelines
from genrec.errors import GenrecError

TRIPLES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20), st.integers(0, 40)), min_size=20, max_size=80)


def frame_of(triples: list[tuple[int, int, int]]) -> pl.DataFrame:
    rows = [(f"u{user}", f"i{item}", float(time), row) for row, (user, item, time) in enumerate(triples)]
    return deduplicate(pl.DataFrame(rows, ["user", "item", "time", "row"], orient="row"))


def split(name: str, frame: pl.DataFrame, items: pl.DataFrame | None, rule: Split) -> Dataset:
    return split_lines(name, Timelines.of(frame), items, rule)


def keys(dataset, part: str) -> dict[str, list[str]]:
    lists = getattr(dataset, part)
    return {
        user: [dataset.catalog.keys[item] for item in items] for user, items in zip(dataset.users, lists, strict=True)
    }


# Ten interactions at the times 0..9: validation begins at time floor(0.8 * 10) = 8, test at floor(0.9 * 10) = 9.
TEN = [(0, 9, 0), (0, 1, 1), (1, 2, 2), (0, 3, 3), (1, 4, 4), (0, 5, 5), (1, 9, 6), (0, 7, 7), (0, 8, 8), (1, 1, 9)]


def test_quantile_split_by_hand() -> None:
    dataset = split("ten", frame_of(TEN), None, QuantileSplit())
    assert dataset.users == ["u0", "u1"]
    assert sorted(dataset.catalog.keys) == ["i1", "i2", "i3", "i4", "i5", "i7", "i8", "i9"]
    assert keys(dataset, "train") == {"u0": ["i9", "i1", "i3", "i5", "i7"], "u1": ["i2", "i4", "i9"]}
    assert keys(dataset, "validation") == {"u0": ["i8"], "u1": []}
    assert keys(dataset, "test") == {"u0": [], "u1": ["i1"]}
    assert dataset.warm.sum() == len(dataset.catalog) - 1  # i8


def test_interactions_of_one_moment_stay_together() -> None:
    # Number 8 of 10 lies at time 6, like number 7: both are validation.
    triples = [(user, row, min(time, 6)) for row, (user, _, time) in enumerate(TEN[:9])] + [(1, 1, 9)]
    assert len(split("ten", frame_of(triples), None, QuantileSplit()).train.values) == 6


def test_users_who_come_late_are_dropped_with_all_they_took() -> None:
    dataset = split("ten", frame_of([*TEN, (2, 30, 7), (2, 31, 9)]), None, DateSplit(t1=8, t2=9))
    assert dataset.users == ["u0", "u1"]
    assert not {"i30", "i31"} & set(dataset.catalog.keys)


def test_dates_are_seconds_in_utc() -> None:
    day = 24 * 3600
    frame = frame_of([(user, item, time * day) for user, item, time in TEN])
    by_date = split("ten", frame, None, DateSplit(t1="1970-01-09", t2="1970-01-10T00:00:00+00:00"))
    by_number = split("ten", frame, None, DateSplit(t1=8 * day, t2=9 * day))
    for part in ("train", "validation", "test"):
        assert keys(by_date, part) == keys(by_number, part)
    assert keys(by_date, "test") == {"u0": [], "u1": ["i1"]}


def test_leave_one_out() -> None:
    dataset = split("ten", frame_of(TEN), None, LeaveOneOut())
    assert keys(dataset, "train") == {"u0": ["i9", "i1", "i3", "i5"], "u1": ["i2", "i4"]}
    assert keys(dataset, "validation") == {"u0": ["i7"], "u1": ["i9"]}
    assert keys(dataset, "test") == {"u0": ["i8"], "u1": ["i1"]}


@given(TRIPLES, st.randoms())
def test_time_order_minimum_and_timelines(triples: list[tuple[int, int, int]], random) -> None:
    frame = frame_of(triples)
    try:
        dataset = split("any", frame, None, QuantileSplit())
    except GenrecError as error:
        assume("is empty" not in str(error))
        raise
    time = {(user, item): (moment, row) for user, item, moment, row in frame.rows()}
    times = [
        [time[user, item][0] for user, items in keys(dataset, part).items() for item in items]
        for part in ("train", "validation", "test")
    ]
    assert max(times[0]) < min(times[1])
    assert max(times[1]) < min(times[2])
    assert dataset.train.lengths.min() >= 2
    whole = dataset.train.join(dataset.validation).join(dataset.test)
    for user, items in zip(dataset.users, whole, strict=True):
        mine = sorted((time[pair], pair[1]) for pair in time if pair[0] == user)
        assert [dataset.catalog.keys[item] for item in items] == [item for _, item in mine]

    order = list(range(len(frame)))
    random.shuffle(order)
    shuffled = split("any", frame[order], None, QuantileSplit())
    assert shuffled.users == dataset.users
    assert shuffled.catalog.keys == dataset.catalog.keys
    for part in ("train", "validation", "test"):
        assert keys(shuffled, part) == keys(dataset, part)


def test_item_table_follows_the_rows() -> None:
    items = pl.DataFrame({"item": [f"i{n}" for n in range(40)], "title": [f"Title {n}" for n in range(40)]})
    dataset = split("ten", frame_of(TEN), items, QuantileSplit())
    assert dataset.catalog.titles == [f"Title {key[1:]}" for key in dataset.catalog.keys]


def test_row_numbers_say_nothing_about_the_order_of_events() -> None:
    triples = [(user, 60 * user + step, 100 * user + step) for user in range(10) for step in range(60)]
    frame = frame_of(triples)
    dataset = split("walks", frame, None, LeaveOneOut())
    steps = [step for items in dataset.train for step in abs(items[1:] - items[:-1]).tolist()]
    # Of 600 shuffled rows, two that follow one another are 200 apart on average; unshuffled ones are 1 apart.
    assert sum(steps) / len(steps) > 150
    assert split("walks", frame, None, LeaveOneOut()).catalog.keys == dataset.catalog.keys, "drawn once and for all"


def test_the_notes_say_who_was_left_out_and_when_the_cuts_are() -> None:
    dataset = split("ten", frame_of([*TEN, (2, 30, 7), (2, 31, 9)]), None, DateSplit(t1=8, t2=9))
    assert dataset.notes["users_left_out"] == {"fewer than 2 training interactions": 1}
    assert dataset.notes["times"] == {"training": (0, 7), "validation": (8, 8), "test": (9, 9)}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            DateSplit(t1=8, t2=100),
            "the test split is empty: none of the 2 users with at least 2 training interactions took anything in "
            r"the test period; set data\.source\.init_args\.split to other dates",
        ),
        (DateSplit(t1=-1, t2=9), "the training split is empty: no user has the 2 training interactions"),
        (LeaveOneOut(min_train=9), "the training split is empty: no user has the 9 .* to a smaller min_train"),
        (DateSplit(t1=9, t2=8), "t1 before t2"),
        (DateSplit(t1="soon", t2=8), "`soon` is no date"),
    ],
)
def test_cuts_that_leave_nothing(rule: Split, message: str) -> None:
    with pytest.raises(GenrecError, match=message):
        split("ten", frame_of(TEN), None, rule)


def test_users_who_come_and_go() -> None:
    """User n takes three items at the times 10 n, 10 n + 1 and 10 n + 2: nobody lasts from training into test."""
    frame = frame_of([(user, item, 10 * user + item) for user in range(10) for item in range(3)])
    message = r"none of the 8 users .* in the validation period; set .*\.split to other ratios, or to LeaveOneOut"
    with pytest.raises(GenrecError, match=message):
        split("visitors", frame, None, QuantileSplit())
    assert len(split("visitors", frame, None, LeaveOneOut(min_train=1)).test.values) == 10


def test_ratios_must_sum_to_one() -> None:
    with pytest.raises(GenrecError, match="sum to 1"):
        QuantileSplit((0.8, 0.1, 0.2))

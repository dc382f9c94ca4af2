from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from genrec.data import interactions
from genrec.data.interactions import checksums, deduplicate
from genrec.data.timelines import Timelines

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 9)), max_size=60)


def frame_of(triples: list[tuple[int, int, int]]) -> pl.DataFrame:
    rows = [(f"u{user}", f"i{item}", time, row) for row, (user, item, time) in enumerate(triples)]
    return pl.DataFrame(
        rows, {"user": pl.String, "item": pl.String, "time": pl.Float64, "row": pl.UInt32}, orient="row"
    )


def test_deduplicate_keeps_the_earliest_and_then_the_first_row() -> None:
    frame = deduplicate(frame_of([(0, 0, 5), (0, 0, 3), (0, 0, 3), (1, 0, 4)]))
    assert frame.rows() == [("u0", "i0", 3.0, 1), ("u1", "i0", 4.0, 3)]


def draw_ties(frame: pl.DataFrame) -> pl.DataFrame:
    """The order that is drawn, of keys: their numbers are their places in the order of the alphabet."""
    keys = {name: frame[name].unique().sort() for name in ("user", "item")}
    coded = [column.search_sorted(frame[name]).rename(name) for name, column in keys.items()]
    drawn = interactions.draw_ties(frame.select(*coded, "time"), *map(checksums, keys.values()))
    return drawn.with_columns(column.gather(drawn[name]) for name, column in keys.items())


def k_core(frame: pl.DataFrame, k: int) -> pl.DataFrame:
    lines = Timelines.of(frame)
    lines.keep(lines.core(k, k))
    keys = {name: getattr(lines, f"{name}s").gather(lines.columns[name]) for name in ("user", "item")}
    return pl.DataFrame({**lines.columns, **keys}).sort("time", "row")


def tied(frame: pl.DataFrame) -> int:
    return Timelines.of(frame).tied()


def slow_core(pairs: set[tuple[str, str]], k: int) -> set[tuple[str, str]]:
    """Remove one offending user or item at a time."""
    for side in (0, 1):
        for key in {pair[side] for pair in pairs}:
            mine = {pair for pair in pairs if pair[side] == key}
            if len(mine) < k:
                return slow_core(pairs - mine, k)
    return pairs


@given(PAIRS, st.integers(1, 4))
def test_k_core_equals_removal_one_by_one_and_is_idempotent(triples: list[tuple[int, int, int]], k: int) -> None:
    frame = deduplicate(frame_of(triples))
    core = k_core(frame, k)
    assert set(core.select("user", "item").rows()) == slow_core(set(frame.select("user", "item").rows()), k)
    assert k_core(core, k).equals(core)


def test_one_pass_would_not_be_enough() -> None:
    # Item 2 goes (one user), then user 2 has a single item left and goes too.
    frame = deduplicate(frame_of([(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3), (2, 1, 4), (2, 2, 5)]))
    assert set(k_core(frame, 2)["user"]) == {"u0", "u1"}


TIED = [(user, item, 0) for user in range(400) for item in range(10)]


def test_what_is_of_one_moment_is_in_an_order_that_says_nothing() -> None:
    """Four hundred users with the same ten items at one moment: every item is last about as often as any other."""
    frame = draw_ties(frame_of(TIED))
    last = frame.group_by("user", maintain_order=True).last()["item"].value_counts()
    assert len(last) == 10
    assert 20 < last["count"].min() <= last["count"].max() < 65  # 40 each on average, with a deviation of 6
    assert tied(frame) == len(TIED)
    assert tied(draw_ties(frame_of([(0, 0, 1), (0, 1, 1), (0, 2, 2), (1, 0, 1)]))) == 2


def test_the_order_of_rows_plays_no_role_and_a_new_one_changes_no_other() -> None:
    frame = draw_ties(frame_of(TIED))
    assert draw_ties(frame_of(TIED[::-1])).equals(frame)
    more = draw_ties(frame_of([*TIED, (5, 77, 0), (999, 3, 0)]))
    same = more.filter(pl.col("item") != "i77", pl.col("user") != "u999")
    assert same.select("user", "item").equals(frame.select("user", "item"))

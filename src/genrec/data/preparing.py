"""From raw interactions to a data set: the steps that every source of timelines shares."""

from __future__ import annotations

from typing import Literal, get_args

import polars as pl

from genrec.data.dataset import Dataset
from genrec.data.interactions import ITEM, TIME, USER, deduplicate, draw_ties, k_core, tied
from genrec.data.splits import NOTHING, SPLIT, Notes, Split, split
from genrec.errors import GenrecError

Repeats = Literal["first", "all"]


def build(
    name: str,
    interactions: pl.DataFrame,
    items: pl.DataFrame | None,
    core: int,
    rule: Split,
    item_core: int | None = None,
    notes: Notes = NOTHING,
    repeats: Repeats = "first",
) -> Dataset:
    """Order what is of one moment by chance; take repetitions out; drop rare users and items; cut the timelines.

    Args:
        name: how the data set is called.
        interactions: the columns of `genrec.data.interactions`.
        items: columns as in `Catalog`; None: nothing is known but the keys.
        core: the least number of interactions of a user, and of an item unless ``item_core`` says otherwise.
        rule: where the timelines are cut.
        item_core: the least number of interactions of an item.
        notes: what the source has to say (`Dataset.notes`).
        repeats: "first" counts every (user, item) pair once, at its earliest; "all" counts it as often as it occurs,
            but at one moment once.

    Raises:
        GenrecError: if nothing is left, or a split is empty.
    """
    if repeats not in get_args(Repeats):
        raise GenrecError(f"repeats is {' or '.join(get_args(Repeats))}, not `{repeats}`")
    if interactions.is_empty():
        raise GenrecError(f"{name}: no interaction is left: min_rating is too high, or unlisted drops all")
    frame = draw_ties(interactions)
    frame = deduplicate(frame) if repeats == "first" else _once(frame)
    kept = k_core(frame, core, core if item_core is None else item_core)
    if kept.is_empty():
        raise GenrecError(
            f"{name}: nothing is left of {len(frame)} interactions when every user and item needs {core}: lower k_core"
        )
    dropped = frame[USER].n_unique() - kept[USER].n_unique()
    notes = {
        **notes,
        "interactions_read": len(interactions),
        "interactions_repeated": len(interactions) - len(frame),
        "interactions_tied": tied(kept),
        "users_left_out": {f"not in the {core}-core": dropped},
    }
    kept = kept.with_columns(pl.col(USER, ITEM).cast(pl.String))
    return split(name, kept, items, rule, notes)


def _once(frame: pl.DataFrame) -> pl.DataFrame:
    """Every interaction once, where the same is written twice; in two splits it stays in both."""
    return frame.unique([name for name in (USER, ITEM, TIME, SPLIT) if name in frame.columns], maintain_order=True)

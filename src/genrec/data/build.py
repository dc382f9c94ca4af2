"""From raw interactions to a data set: the steps that every source of timelines shares."""

from __future__ import annotations

import polars as pl

from genrec.data.dataset import Dataset
from genrec.data.interactions import ITEM, USER, deduplicate, k_core
from genrec.data.splits import NOTHING, Notes, Split, split
from genrec.errors import GenrecError


def build(
    name: str,
    interactions: pl.DataFrame,
    items: pl.DataFrame | None,
    core: int,
    rule: Split,
    item_core: int | None = None,
    notes: Notes = NOTHING,
) -> Dataset:
    """Count every (user, item) pair once, at its earliest; drop rare users and items; cut the timelines.

    Args:
        name: how the data set is called.
        interactions: the columns of `genrec.data.interactions`.
        items: columns as in `Catalog`; None: nothing is known but the keys.
        core: the least number of interactions of a user, and of an item unless ``item_core`` says otherwise.
        rule: where the timelines are cut.
        item_core: the least number of interactions of an item.
        notes: what the source has to say (`Dataset.notes`).

    Raises:
        GenrecError: if nothing is left, or a split is empty.
    """
    # Integers are compared faster than the text of keys, and take less memory.
    frame = deduplicate(interactions.with_columns(pl.col(USER, ITEM).cast(pl.Categorical)))
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
        "users_left_out": {f"not in the {core}-core": dropped},
    }
    kept = kept.with_columns(pl.col(USER, ITEM).cast(pl.String))
    return split(name, kept, items, rule, notes)

"""From raw interactions to a data set: the steps that every source of timelines shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import polars as pl

from genrec.data.dataset import Dataset
from genrec.data.files import Findings
from genrec.data.interactions import ITEM, ROW, SPLIT, TIME, USER, checksums, deduplicate, draw_ties
from genrec.data.log import Log
from genrec.data.splits import NOTHING, Notes, Split, oddities, split
from genrec.data.timelines import Timelines
from genrec.errors import GenrecError

Repeats = Literal["first", "all"]


@dataclass(frozen=True)
class Filters:
    """What is left out of a log.

    Args:
        core: the least number of interactions of a user, and of an item unless ``item_core`` says otherwise.
        item_core: the least number of interactions of an item.
        repeats: "first" counts every (user, item) pair once, at its earliest; "all" counts it as often as it occurs,
            but at one moment once.

    Raises:
        GenrecError: if less than one interaction is asked for.
    """

    core: int
    item_core: int | None = None
    repeats: Repeats = "first"

    def __post_init__(self) -> None:
        for key, least in (("k_core", self.core), ("item_core", self.item_core)):
            if least is not None and least < 1:
                raise GenrecError(f"`{key}` is {least}: give 1 or more")


def build(
    name: str,
    log: Log,
    items: pl.DataFrame | None,
    rule: Split,
    filters: Filters,
    scratch: Path,
    findings: Findings,
    known: np.ndarray | None = None,
    notes: Notes = NOTHING,
) -> Dataset:
    """Order what is of one moment by chance; take repetitions out; drop rare users and items; cut the timelines.

    Args:
        name: how the data set is called.
        log: the interactions.
        items: columns as in `Catalog`; None: nothing is known but the keys.
        rule: where the timelines are cut.
        filters: what is left out.
        scratch: where the log is written anew; the data set is mapped from there.
        findings: where it is said what is odd about a log that came already cut; they become notes.
        known: bool [items of the log], which may stay; None is all.
        notes: what else the source has to say (`Dataset.notes`).

    Raises:
        GenrecError: if nothing is left, or a split is empty.
    """
    if filters.repeats not in get_args(Repeats):
        raise GenrecError(f"repeats is {' or '.join(get_args(Repeats))}, not `{filters.repeats}`")
    read, lines = _timelines(log, filters.repeats, scratch, findings, known)
    if not read:
        raise GenrecError(f"{name}: no interaction is left: min_rating is too high, or unlisted drops all")
    once, users = len(lines), int((lines.counts(USER) > 0).sum())
    core = filters.core
    lines.keep(lines.core(core, core if filters.item_core is None else filters.item_core))
    if not len(lines):
        raise GenrecError(
            f"{name}: nothing is left of {once} interactions when every user and item needs {core}: lower k_core"
        )
    dropped = users - int((lines.counts(USER) > 0).sum())
    notes = {
        **notes,
        **findings.notes(),
        "interactions_read": read,
        "interactions_repeated": read - once,
        "interactions_tied": lines.tied(),
        "users_left_out": {f"not in the {core}-core": dropped},
    }
    return split(name, lines, items, rule, notes)


def _timelines(
    log: Log, repeats: Repeats, scratch: Path, findings: Findings, known: np.ndarray | None
) -> tuple[int, Timelines]:
    """How many interactions were read, and all of them without repetitions; some users at a time."""
    users, items = checksums(log.users), checksums(log.items)
    names = [USER, ITEM, TIME, ROW, *([SPLIT] if SPLIT in log.columns else [])]
    lines = Timelines.empty(log.users, log.items, names, len(log), scratch)
    read = end = 0
    for frame in log.by_users(scratch):
        for what, count in oddities(frame).items() if SPLIT in names else ():
            findings.count(what, count)
        if known is not None:
            frame = frame.filter(known[frame[ITEM].to_numpy()])
        drawn = draw_ties(frame, users, items).with_columns(pl.col(ROW).cast(pl.Int64) + read)
        read += len(frame)
        kept = deduplicate(drawn) if repeats == "first" else _once(drawn)
        kept = kept.sort(USER, TIME, ROW)
        for name, column in lines.columns.items():
            column[end : end + len(kept)] = kept[name].to_numpy()
        end += len(kept)
    lines.columns = {name: column[:end] for name, column in lines.columns.items()}
    return read, lines


def _once(frame: pl.DataFrame) -> pl.DataFrame:
    """Every interaction once, where the same is written twice; in two splits it stays in both."""
    return frame.unique([name for name in (USER, ITEM, TIME, SPLIT) if name in frame.columns], maintain_order=True)

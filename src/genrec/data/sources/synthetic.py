"""A made-up shop whose customers have habits that can be learned from item text: for a first run and for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from genrec.data.catalog import BRAND, CATEGORIES, KEY, TITLE
from genrec.data.dataset import Dataset, Source
from genrec.data.interactions import ITEM, ROW, TIME, USER, deduplicate
from genrec.data.splits import QuantileSplit, split
from genrec.data.timelines import Timelines
from genrec.errors import GenrecError

LEAVES = [
    ("Outdoor", "Trail Shoes", "Trail Running Shoe"), ("Outdoor", "Tents", "Two Person Tent"),
    ("Outdoor", "Lamps", "Camping Headlamp"), ("Outdoor", "Bottles", "Insulated Steel Bottle"),
    ("Kitchen", "Knives", "Chef Knife"), ("Kitchen", "Pans", "Cast Iron Pan"),
    ("Kitchen", "Kettles", "Electric Kettle"), ("Kitchen", "Coffee", "Espresso Grinder"),
    ("Music", "Guitars", "Acoustic Guitar"), ("Music", "Drums", "Snare Drum"),
    ("Music", "Keyboards", "Stage Piano"), ("Music", "Microphones", "Studio Microphone"),
    ("Garden", "Seeds", "Wildflower Seed Mix"), ("Garden", "Hoses", "Garden Hose"),
    ("Garden", "Shears", "Pruning Shears"), ("Garden", "Planters", "Clay Planter"),
    ("Office", "Pens", "Fountain Pen"), ("Office", "Paper", "Dotted Notebook"),
    ("Office", "Chairs", "Desk Chair"), ("Office", "Screens", "Monitor Stand"),
]  # fmt: skip
"""Department, category, and what an item of it is called."""
BRANDS = ["Northpeak", "Halden", "Corvo", "Mirabel", "Tansu", "Oakline", "Fenwick", "Solara", "Brisk", "Juniper"]
SERIES = ["Aurora", "Summit", "Drift", "Ember", "Willow", "Cobalt", "Harbor"]

LENGTH = 7
"""Items of a series, unless the catalogue is too large for that."""
EVENTS = 12
"""Purchases of a customer, on average."""
HABIT = 0.8
"""How often a customer follows his habit; otherwise he takes something popular."""
ZIPF = 0.8
"""Popularity falls as rank to this power."""
YEAR = 365 * 24 * 3600


@dataclass(frozen=True, eq=False)
class Shop:
    """The catalogue of the shop, and the habit of its customers.

    Args:
        items: the item table.
        successor: int64 [N], what a customer takes after an item by habit: the next of its series, or what is onward
            from the last.
        onward: int64 [N], where the habit goes from an item's series: the first item of the same brand in the
            accompanying category.
        series: int64 [N], the series of every item.
        number: int64 [N], its number in the series, from 0.
    """

    items: pl.DataFrame
    successor: np.ndarray
    onward: np.ndarray
    series: np.ndarray
    number: np.ndarray


class Synthetic(Source):
    """Customers who go through a series of a brand, item by item, then on to an accompanying category.

    Titles tell brand, series, kind and number ("Halden Ember Chef Knife 3"), so the habit can be learned from text. A
    share of the items, the last of some series, is only sold once validation begins: they are cold, and follow the
    same habit. The customers' purchases are cut by time as those of a real table are.

    Args:
        users: customers; those who come too late for training are left out of the data set.
        items: items of the shop; those that nobody takes are left out.
        cold: the share of items that appear after the training split.
        seed: decides everything.
    """

    def __init__(self, users: int = 1000, items: int = 1000, cold: float = 0.15, seed: int = 0) -> None:
        if users < 10 or items < 10 or not 0 <= cold < 1:
            raise GenrecError(
                f"a synthetic data set needs 10 users and 10 items, and a share of cold items from 0 to below 1, not "
                f"users={users}, items={items}, cold={cold}"
            )
        self.users = users
        self.items = items
        self.cold = cold
        self.seed = seed

    def load(self, root: str | Path) -> Dataset:
        """Make the data set; nothing is read."""
        rng = np.random.default_rng(self.seed)
        shop = make_shop(self.items)
        users, times = _visits(rng, self.users)
        rule = QuantileSplit()
        opening = times[int(rule.ratios[0] * len(times))]  # the moment when `rule` lets validation begin
        bought = _purchases(rng, shop, users, times >= opening, _late(rng, shop, self.cold))
        keys = shop.items[KEY].to_numpy()
        frame = pl.DataFrame({USER: [f"user-{user}" for user in users], ITEM: keys[bought], TIME: times})
        return split("synthetic", Timelines.of(deduplicate(frame.with_row_index(ROW))), shop.items, rule)


def make_shop(items: int) -> Shop:
    """Lay out the catalogue, series after series; neighbouring series belong to different categories."""
    length = max(LENGTH, -(-items // (len(LEAVES) * len(BRANDS))))
    series, number = np.divmod(np.arange(items), length)
    count = series[-1] + 1
    leaf, brand = series % len(LEAVES), series // len(LEAVES)
    # The next category of the department; every department has four.
    accompanying = leaf // 4 * 4 + (leaf + 1) % 4 + brand * len(LEAVES)
    onward = np.where(accompanying < count, accompanying, (series + 1) % count) * length
    last = np.append(series[1:] != series[:-1], True)
    rows = [_item(item, *divmod(item, length)) for item in range(items)]
    return Shop(pl.DataFrame(rows), np.where(last, onward, np.arange(items) + 1), onward, series, number)


def _item(item: int, series: int, number: int) -> dict[str, object]:
    """A row of the item table."""
    (department, category, kind), brand = LEAVES[series % len(LEAVES)], BRANDS[series // len(LEAVES)]
    title = f"{brand} {SERIES[series % len(SERIES)]} {kind} {number + 1}"
    return {KEY: f"item-{item}", TITLE: title, BRAND: brand, CATEGORIES: [department, category]}


def _visits(rng: np.random.Generator, users: int) -> tuple[np.ndarray, np.ndarray]:
    """Who comes when, in the order of time: users, seconds."""
    counts = 4 + rng.poisson(EVENTS - 4, users)
    begin = rng.uniform(0, 0.75, users)
    end = begin + rng.uniform(0.2, 1, users) * (1 - begin)
    visitors = np.repeat(np.arange(users), counts)
    times = (rng.uniform(begin[visitors], end[visitors]) * YEAR).astype(np.int64)
    order = np.argsort(times, kind="stable")
    return visitors[order], times[order]


def _late(rng: np.random.Generator, shop: Shop, share: float) -> np.ndarray:
    """Bool [N]: the last items of series, one of each before a second of any."""
    from_end = np.bincount(shop.series)[shop.series] - shop.number
    order = np.lexsort((rng.random(len(from_end)), from_end))
    late = np.zeros(len(from_end), bool)
    late[order[: round(share * len(from_end))]] = True
    return late


def _purchases(
    rng: np.random.Generator, shop: Shop, users: np.ndarray, open_: np.ndarray, late: np.ndarray
) -> np.ndarray:
    """What is taken at every visit: int64 [visits].

    Args:
        rng: the source of chance.
        shop: the items and the habit.
        users: int64 [visits], who comes, in the order of time.
        open_: bool [visits], whether the late items are sold by then.
        late: bool [N].
    """
    popularity = rng.permutation(np.arange(1.0, len(late) + 1)) ** -ZIPF
    popular = rng.choice(len(late), (len(users), 20), p=popularity / popularity.sum())
    habitual = rng.random(len(users)) < HABIT
    taken: dict[int, list[int]] = {}
    bought = np.empty(len(users), np.int64)
    for visit, user in enumerate(users.tolist()):
        history = taken.setdefault(user, [])
        wishes = popular[visit].tolist()
        if history and habitual[visit]:
            # A series whose end is not sold yet ends early.
            wishes[:0] = [int(shop.successor[history[-1]]), int(shop.onward[history[-1]])]
        sold = (item for item in wishes if (open_[visit] or not late[item]) and item not in history)
        item = next(sold, history[-1] if history else wishes[-1])
        history.append(item)
        bought[visit] = item
    return bought

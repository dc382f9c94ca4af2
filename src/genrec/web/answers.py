"""What is answered: the work behind every route, on recommenders that nobody else uses meanwhile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
import torch

from genrec.analysis.inspection.neighbours import nearest
from genrec.analysis.inspection.overview import TEXT
from genrec.data.catalog import SCHEMA, Catalog
from genrec.serving import asked
from genrec.serving.lists import Lists
from genrec.serving.slots import slot_names, slot_scores
from genrec.web.bodies import Additions, Asked
from genrec.web.hosted import Hosted
from genrec.web.refusals import CANNOT, UNKNOWN, Refusal, told

USED = 16
"""Kinds of lists that are kept, each a bit per item: what is known of its candidates need not be looked up again."""

NO_ADDITIONS = "items are added where one process serves, and several do here: save a folder that has them"


class Part(NamedTuple):
    """A request, made ready to be ranked together with others.

    Args:
        request: as it came.
        lists: rank it; the same object for requests that can share a batch.
        histories: without what was left out.
        skipped: what was left out of each.
    """

    request: Asked
    lists: Lists
    histories: list[list[str]]
    skipped: list[list[str]]


class Answers:
    """What one recommender answers.

    Args:
        hosted: the recommender.
        keep: where it is saved when items are added; None for nowhere.

    Attributes:
        alone: whether no other process answers for it, so that items can be added.
    """

    def __init__(self, hosted: Hosted, keep: Path | None = None) -> None:
        self.hosted, self.keep, self.alone = hosted, keep, True
        self._lists: dict[tuple[int, bool], Lists] = {}

    def recommend(self, requests: Sequence[Asked]) -> list[dict[str, Any] | Refusal]:
        """The lists of many requests, each answered as if it had come alone."""
        found: list[dict[str, Any] | Refusal | None] = [None] * len(requests)
        together: dict[int, list[tuple[int, Part]]] = defaultdict(list)
        for place, request in enumerate(requests):
            try:
                part = self._ready(request)
                together[id(part.lists)].append((place, part))
            except Refusal as refusal:
                found[place] = refusal
        for members in together.values():
            parts = [part for _, part in members]
            for (place, _), answer in zip(members, self._ranked(parts), strict=True):
                found[place] = answer
        return [answer for answer in found if answer is not None]

    def _ready(self, request: Asked) -> Part:
        """A request whose lists are sure to exist.

        Raises:
            Refusal: if they do not.
        """
        catalog, skip = self.hosted.served.catalog, request.unknown == "skip"
        kept, skipped = _known(catalog, request.histories, skip)
        lists = self._lists_of(request)
        with told(CANNOT):
            lists.check(kept, 0)
        return Part(request, lists, kept, skipped)

    def _lists_of(self, request: Asked) -> Lists:
        served, rows = self.hosted.served, None
        if request.allowed is not None or request.exclude:
            rows = _rows(served.catalog, request.allowed, "allowed")
            rows = np.setdiff1d(rows, _rows(served.catalog, request.exclude or [], "exclude"))
        kind = request.k, request.repeats
        if rows is None and kind in self._lists:
            return self._lists[kind]
        lists = Lists(served.model, served.data, served.index, request.k, rows, request.repeats)
        if rows is None:
            while len(self._lists) >= USED:
                self._lists.pop(next(iter(self._lists)))
            self._lists[kind] = lists
        return lists

    def _ranked(self, parts: Sequence[Part]) -> list[dict[str, Any]]:
        """The answers of requests that share a batch."""
        histories = [history for part in parts for history in part.histories]
        found = parts[0].lists.of(histories, 0)
        k = parts[0].request.k
        lists = found.select("item", "title", "score").with_columns(pl.col("score").cast(pl.Float64)).to_dicts()
        names = slot_names(self.hosted.served.model)
        answers, start = [], 0
        for part in parts:
            users = [lists[first : first + k] for first in range(start, start + k * len(part.histories), k)]
            start += k * len(part.histories)
            explained = names if part.request.explain else None
            numbers = self._slots(part.histories, users) if explained else None
            for user, items in enumerate(users):
                for place, item in enumerate(items):
                    item["slots"] = None if numbers is None else numbers[user][place]
            shown = [{"items": items, "skipped": out} for items, out in zip(users, part.skipped, strict=True)]
            answers.append({**self._who(), "slots": explained, "users": shown})
        return answers

    def _slots(self, histories: Sequence[Sequence[str]], users: Sequence[Sequence[Mapping[str, Any]]]) -> Any:
        served = self.hosted.served
        lists = asked.rows(served.catalog, histories)
        everyone = np.arange(len(histories))
        read = torch.from_numpy(lists.windows(everyone, lists.lengths, served.data.max_history))
        rows = served.catalog.find([item["item"] for items in users for item in items]).reshape(len(users), -1)
        device = served.model.device
        return slot_scores(served.model, read.to(device), torch.from_numpy(rows).to(device)).tolist()

    def item(self, key: str) -> dict[str, Any]:
        """All about an item.

        Raises:
            Refusal: if there is none of that key.
        """
        hosted, row = self.hosted, self._row(key)
        identifier = hosted.served.model.identifier
        codes = None if identifier is None else identifier.item_codes()
        return {
            "run": hosted.name,
            **hosted.shown.whole(row),
            "identifier": None if identifier is None else identifier.describe(row),
            "codes": None if codes is None else codes[0][row].tolist(),
        }

    def similar(self, key: str, by: Literal["identifier", "text"], k: int) -> dict[str, Any]:
        """The items nearest to one.

        Raises:
            Refusal: if there is none of that key, or nothing to compare it by.
        """
        hosted, row = self.hosted, self._row(key)
        with told(CANNOT):
            likenesses = hosted.inspection().likenesses
        if by not in likenesses:
            raise Refusal(CANNOT, f"the items of `{hosted.name}` have no {TEXT} to be compared by", "by")
        likeness = likenesses[by]
        rows, alike = nearest(likeness, torch.tensor([row]), min(k, len(hosted.shown.catalog) - 1), 0)
        items = hosted.shown.found(rows[0].numpy())
        near = [{**item, "alike": value} for item, value in zip(items, alike[0].tolist(), strict=True)]
        return {"run": hosted.name, "item": key, "by": by, "unit": likeness.unit, "items": near}

    def add(self, request: Additions) -> dict[str, Any]:
        """Make items recommendable.

        Raises:
            Refusal: if one is there already, or the method cannot.
            GenrecError: if it cannot be saved.
        """
        model = self.hosted.served.model
        if not (self.alone and model.extends):
            raise Refusal(CANNOT, NO_ADDITIONS if model.extends else f"{model.method} takes no new items")
        items = pl.DataFrame([item.model_dump() for item in request.items], schema=SCHEMA)
        with told(CANNOT, "items"):
            self.hosted.served.catalog.extend(Catalog(items).items)
        self._lists.clear()
        self.hosted.add_items(items)
        if self.keep:
            self.hosted.served.save_pretrained(self.keep)
        return {**self._who(), "added": len(items), "items": len(self.hosted.shown.catalog)}

    def _who(self) -> dict[str, Any]:
        return {"run": self.hosted.name, "generation": self.hosted.generation}

    def _row(self, key: str) -> int:
        with told(UNKNOWN, "key"):
            return int(self.hosted.served.rows([key])[0])


def _known(catalog: Catalog, histories: Sequence[Sequence[str]], skip: bool) -> tuple[Any, list[list[str]]]:
    """Histories without what is not in the catalogue, and what was left out of each."""
    lengths = [len(history) for history in histories]
    flat = [key for history in histories for key in history]
    there = catalog.find(flat) >= 0 if flat else np.empty(0, bool)
    if there.all():
        return histories, [[] for _ in histories]
    ends = np.cumsum(lengths)
    if not skip:
        first = int(there.argmin())
        user = int(np.searchsorted(ends, first, "right"))
        with told(UNKNOWN, f"histories[{user}][{first - int(ends[user]) + lengths[user]}]"):
            catalog.rows([flat[first]])
    parts = np.split(there, ends[:-1])
    pairs = [list(zip(history, part.tolist(), strict=True)) for history, part in zip(histories, parts, strict=True)]
    kept = [[key for key, known in pair if known] for pair in pairs]
    return kept, [[key for key, known in pair if not known] for pair in pairs]


def _rows(catalog: Catalog, keys: Sequence[str] | None, where: str) -> np.ndarray:
    """The rows of keys, or all."""
    if keys is None:
        return np.arange(len(catalog))
    found = catalog.find(keys) if keys else np.empty(0, np.int64)
    if (found < 0).any():
        place = int((found < 0).argmax())
        with told(UNKNOWN, f"{where}[{place}]"):
            catalog.rows([keys[place]])
    return found

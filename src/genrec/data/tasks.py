"""What a language model is asked in training: tasks by name, in templates, and how often each comes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from genrec.data.catalog import BRAND, CATEGORIES, DESCRIPTION, KEY, TAGS, TITLE, Catalog, called
from genrec.data.queries import NONE, QUERY, Queries
from genrec.errors import GenrecError

FIELD = re.compile(r"<(\w+)>")
HISTORY, TITLES, ITEM = "history", "titles", "item"
WORDS = {TITLE: 24, DESCRIPTION: 64, CATEGORIES: 24, BRAND: 24, TAGS: 24}
"""The texts of an item, and after how many words each is cut."""
KNOWN = (HISTORY, TITLES, ITEM, QUERY, *WORDS)
MOST = 1_000
"""Times that a sample comes in an epoch; more are a slip of the pen."""
LETTERS = 6
"""Of a word with the blank behind it, about."""


@dataclass(frozen=True)
class Task:
    """One thing that a language model learns to answer.

    ============================== ================================================================
    ``<history>``                  the items that the user took before, as the method in training names them
    ``<titles>``                   the titles of the same, in quotes
    ``<item>``                     the item that is asked for, as the method names it
    ``<title>``, ``<description>``
    ``<categories>``, ``<brand>``
    ``<tags>``                     its texts
    ``<query>``                    what somebody says who looks for it, from the file `data.queries`
    ============================== ================================================================

    With ``<history>`` or ``<titles>`` in a prompt the item is the one that the user took next, and there is a sample
    for every place of the training lists. Otherwise there is one for every item of the training split that has all
    texts of the task, and with ``<query>`` one for every query of such an item.

    Args:
        prompts: templates; which of them asks is drawn anew for every sample in every epoch.
        answer: ``<item>``, or a text with texts of the item in it.
        weight: how often each of its samples comes in an epoch; 0.25 is once in four epochs, 0 is never.
    """

    prompts: Sequence[str]
    answer: str = f"<{ITEM}>"
    weight: float = 1.0

    def check(self, key: str) -> None:
        """See that it can be asked and answered.

        Args:
            key: where it stands in a config.

        Raises:
            GenrecError: if a template cannot be filled in, or nothing is to be learned from it.
        """
        if isinstance(self.prompts, str) or not self.prompts:
            raise GenrecError(f"`{key}.prompts` is a list of one prompt or more, not {self.prompts!r}")
        if not 0 <= self.weight <= MOST:
            raise GenrecError(f"`{key}.weight` is {self.weight}: give a number from 0 to {MOST}")
        for text in (*self.prompts, self.answer):
            if unknown := [name for name in FIELD.findall(text) if name not in KNOWN]:
                known = ", ".join(f"<{name}>" for name in KNOWN)
                raise GenrecError(f"`{key}` has <{unknown[0]}> in {text!r}: there are {known}")
        for prompt in self.prompts:
            if len(named := [name for name in FIELD.findall(prompt) if name in (HISTORY, ITEM)]) > 1:
                raise GenrecError(f"`{key}` has identifiers in {len(named)} places of {prompt!r}: leave one")
            if self.names_item and ITEM in named:
                raise GenrecError(f"`{key}` has the answer <{ITEM}> in {prompt!r} already: ask otherwise")
        if self.has_query and self.of_users:
            raise GenrecError(f"`{key}` has <{QUERY}> beside what users took: a query asks for an item by itself")
        asked = set(FIELD.findall(self.answer))
        if not self.names_item and (not asked or asked & {HISTORY, TITLES, ITEM}):
            raise GenrecError(
                f"`{key}.answer` is <{ITEM}> alone, or a text with texts of the item in it, not {self.answer!r}"
            )

    @property
    def names_item(self) -> bool:
        """Whether the answer is an identifier."""
        return self.answer == f"<{ITEM}>"

    @property
    def of_users(self) -> bool:
        """Whether it asks for the next item of users."""
        return any({HISTORY, TITLES} & set(FIELD.findall(prompt)) for prompt in self.prompts)

    @property
    def has_query(self) -> bool:
        """Whether it needs queries."""
        return any(QUERY in FIELD.findall(text) for text in (*self.prompts, self.answer))

    @property
    def packs(self) -> bool:
        """Whether what stands before a history is the same wherever the history ends."""
        names = [set(FIELD.findall(prompt)) for prompt in self.prompts]
        return all(HISTORY in fields and fields <= {HISTORY} for fields in names)

    @property
    def texts(self) -> set[str]:
        """The texts of the item that it needs."""
        return {name for text in (*self.prompts, self.answer) for name in FIELD.findall(text) if name in WORDS}

    @property
    def words(self) -> list[str]:
        """All that it says whatever the item is."""
        return [FIELD.sub(" ", text) for text in (*self.prompts, self.answer)]


def parts(template: str) -> tuple[str, str]:
    """What stands before the identifiers of a template, and behind them; they have the blanks between for themselves.

    A template without any stands before them as a whole.
    """
    before, _, after = re.sub(rf"\s*<({HISTORY}|{ITEM})>\s*", "\0", template).partition("\0")
    return before.strip(), after.strip()


@dataclass(frozen=True, eq=False)
class Wordings:
    """The texts of items as tasks take them.

    Args:
        catalog: the items.
        queries: what asks for them, if tasks need any.
    """

    catalog: Catalog
    queries: Queries = NONE

    def of(self, name: str, items: np.ndarray) -> list[str]:
        """A text of items [n]; a title is what an item is called, or else its key (`genrec.data.catalog.called`).

        Args:
            name: of the text.
            items: int64 [n].

        Returns:
            [n], in one line each, cut after some words, ``""`` where there is none.
        """
        words = self._column(name, items).fill_null("").str.extract_all(r"\S+").list.head(WORDS[name])
        return words.list.join(" ").to_list()

    def there(self, names: set[str], items: np.ndarray) -> np.ndarray:
        """Those of items [n] that have all of some texts."""
        has = np.ones(len(items), bool)
        for name in names:
            has &= self._column(name, items).is_not_null().to_numpy()
        return items[has]

    def letters(self, name: str, items: np.ndarray) -> np.ndarray:
        """How many letters a text of items [...] has, about."""
        counts = self._column(name, items.ravel()).str.len_chars().fill_null(0).to_numpy().astype(np.int64)
        return np.minimum(counts, WORDS[name] * LETTERS).reshape(items.shape)

    def filled(self, template: str, items: np.ndarray, said: Mapping[str, Sequence[str]]) -> list[str]:
        """A template, or a part of one, with the texts of items [n] in it.

        Args:
            template: without identifiers.
            items: int64 [n].
            said: what other places than the items' texts stand for, [n] each.
        """
        names = list(dict.fromkeys(FIELD.findall(template)))
        columns = [said[name] if name in said else self.of(name, items) for name in names]
        rows = zip(*columns, strict=True) if columns else [()] * len(items)
        return [FIELD.sub(partial(_look_up, dict(zip(names, row, strict=True))), template) for row in rows]

    def _column(self, name: str, items: np.ndarray) -> pl.Series:
        rows = self.catalog.items[items]
        if name == TITLE:
            named = called(rows)
            return named.zip_with(named.is_not_null(), rows[KEY])
        column = rows[name]
        return column.list.drop_nulls().list.join(", ") if name == CATEGORIES else column


def _look_up(texts: Mapping[str, str], match: re.Match[str]) -> str:
    return texts[match[1]]


def checked(tasks: Mapping[str, Task]) -> dict[str, Task]:
    """The tasks that come at all, once each is checked, and there is one that teaches to recommend.

    Raises:
        GenrecError: if there is none, or one cannot be asked.
    """
    for name, task in tasks.items():
        task.check(f"data.tasks.{name}")
    come = {name: task for name, task in tasks.items() if task.weight}
    if tasks and not any(task.of_users and task.names_item for task in come.values()):
        raise GenrecError(
            f"none of `data.tasks` ({', '.join(tasks)}) asks for the next item of a user by <{ITEM}>: nothing would be "
            f"learned to recommend with; give one with <{HISTORY}> in its prompts"
        )
    return come

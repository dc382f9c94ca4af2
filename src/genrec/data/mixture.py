"""Samples of several tasks, mixed by their weights: which sample of which task a number is, in every epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
import torch.utils.data

from genrec.data.catalog import TITLE
from genrec.data.numbers import mixed
from genrec.data.permutation import Permutation
from genrec.data.queries import QUERY
from genrec.data.ragged import ends
from genrec.data.samplers import Draw
from genrec.data.samples import Samples
from genrec.data.tasks import FIELD, HISTORY, ITEM, TITLES, Task, Wordings, parts
from genrec.errors import GenrecError
from genrec.types import PAD, Batch, Prefixes, Wording

TOKENS = 5
"""Of an identifier, about."""
LETTERS = 4
"""Of a token, about."""


class Pool(NamedTuple):
    """The samples of a task.

    Args:
        task: what is asked.
        samples: of users, or the rows of items, int64 [n].
        queries: what asks for each of the items, [n], if the task has them.
    """

    task: Task
    samples: Samples | np.ndarray
    queries: pl.Series | None = None

    @property
    def number(self) -> int:
        """How many come in an epoch; at least one, where there is one."""
        return max(1, round(self.task.weight * len(self.samples))) if len(self.samples) else 0


class _Part(NamedTuple):
    """Samples of one task: rows of a batch, and their texts as those of a `Wording`."""

    users: np.ndarray
    history: np.ndarray
    target: np.ndarray
    prefixes: tuple[np.ndarray, np.ndarray] | None
    texts: tuple[Sequence[str], Sequence[str], Sequence[str | None]]


@dataclass(frozen=True, eq=False)
class Mixture(torch.utils.data.Dataset[Batch]):
    """Samples of several tasks, computed from their numbers and the epoch; a draw picks a whole batch of them at once.

    A task's samples come in a random order that goes on from epoch to epoch, where the last one stopped: none comes a
    second time before all others have come once. What is kept has the size of the users, and of the items.

    Args:
        pools: of each task; those that are answered with an item's identifier come first.
        wordings: the texts of the items.
        seed: decides the orders and the prompts.
        packed: prompts are given as `Prefixes`, as some of them have several.
    """

    pools: Sequence[Pool]
    wordings: Wordings
    seed: int
    packed: bool
    starts: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        numbers = np.array([pool.number for pool in self.pools], np.int64)
        object.__setattr__(self, "starts", ends(numbers))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def sizes(self, rows: np.ndarray, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Of an epoch's samples [B], int64 [B] each: about how many tokens a prompt has, and how many are learned."""
        lengths, learned = np.empty(len(rows), np.int64), np.ones(len(rows), np.int64)
        for pool, places, chosen in self._chosen(rows, epoch):
            lengths[places], learned[places] = self._sizes(pool, chosen)
        return lengths, learned

    def __getitem__(self, draw: Draw) -> Batch:
        """The batch of the samples that were drawn, task by task."""
        found = [
            self._part(pool, chosen, self._drawn(draw.rows[places], draw.epoch))
            for pool, places, chosen in self._chosen(draw.rows, draw.epoch)
        ]
        width = max(part.history.shape[1] for part in found)
        history = np.concatenate([_widened(part.history, width) for part in found])
        users, target = (np.concatenate([part[place] for part in found]) for place in (0, 2))
        prefixes = None
        if self.packed:
            first = np.cumsum([0, *(len(part.users) for part in found[:-1])])
            pairs = [part.prefixes or _whole(part.history) for part in found]
            rows = np.concatenate([row + start for (row, _), start in zip(pairs, first, strict=True)])
            stops = [stop + width - part.history.shape[1] for (_, stop), part in zip(pairs, found, strict=True)]
            prefixes = Prefixes(torch.from_numpy(rows), torch.from_numpy(np.concatenate(stops)))
        no_lists = np.empty((len(users), 0), np.int64)
        of_users, items, wanted, relevant = map(torch.from_numpy, (users, history, target, no_lists))
        columns = zip(*(part.texts for part in found), strict=True)
        before, after, answers = (list[Any](chain(*texts)) for texts in columns)
        wording = Wording(before, after, answers, self.writes)
        return Batch(of_users, items, wanted, relevant, prefixes, draw.examples, draw.step_examples, wording=wording)

    @property
    def writes(self) -> bool:
        """Whether texts are answered."""
        return not all(pool.task.names_item for pool in self.pools)

    def _chosen(self, rows: np.ndarray, epoch: int) -> Iterator[tuple[Pool, np.ndarray, np.ndarray]]:
        """The tasks of samples [B], the places of theirs, and which of each task's they are."""
        numbers = np.searchsorted(self.starts, rows, side="right") - 1
        for number in np.unique(numbers).tolist():
            pool, places = self.pools[number], np.flatnonzero(numbers == number)
            going_on = rows[places] - self.starts[number] + epoch * pool.number
            turns, at = np.divmod(going_on, len(pool.samples))
            chosen = np.empty_like(at)
            for turn in np.unique(turns):
                order = Permutation(len(pool.samples), (self.seed, number, int(turn)))
                chosen[turns == turn] = order(at[turns == turn])
            yield pool, places, chosen

    def _drawn(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        """A random number for every one of an epoch's samples, uint64 [n]."""
        key = np.random.SeedSequence((self.seed, epoch)).generate_state(1, np.uint64)[0]
        return mixed(rows.astype(np.uint64) + key)

    def _sizes(self, pool: Pool, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `sizes`, of samples of one task; of the texts of all prompts together."""
        names = {name for prompt in pool.task.prompts for name in FIELD.findall(prompt)}
        texts = names - {HISTORY, TITLES, ITEM, QUERY}
        if isinstance(pool.samples, np.ndarray):
            items = pool.samples[chosen]
            lengths, learned = np.full(len(items), TOKENS * (ITEM in names)), np.ones(len(items), np.int64)
        else:
            lengths, learned = pool.samples.sizes(chosen)
            lengths = lengths * TOKENS * (HISTORY in names)
            if texts or TITLES in names:
                batch = pool.samples[Draw(chosen)]
                items, history = batch.target.numpy(), batch.history.numpy()
        for name in texts:
            lengths = lengths + self.wordings.letters(name, items) // LETTERS
        if TITLES in names:
            letters = self.wordings.letters(TITLE, np.maximum(history, 0)) * (history != PAD)
            lengths = lengths + letters.sum(1) // LETTERS
        if pool.queries is not None and QUERY in names:
            lengths = lengths + pool.queries.gather(chosen).str.len_chars().to_numpy().astype(np.int64) // LETTERS
        return lengths, learned

    def _part(self, pool: Pool, chosen: np.ndarray, drawn: np.ndarray) -> _Part:
        """Samples of a task, and what is asked and answered in each; its prompts are chosen by random numbers."""
        task, prefixes = pool.task, None
        if isinstance(pool.samples, np.ndarray):
            target = asked = pool.samples[chosen]
            users, history = np.full(len(target), PAD), target[:, None]
        else:
            batch = pool.samples[Draw(chosen)]
            users, history, target = (part.numpy() for part in batch[:3])
            asked = target
            if batch.prefixes is not None:
                prefixes = (batch.prefixes.users.numpy(), batch.prefixes.stops.numpy())
                asked = np.concatenate([history, target[:, None]], 1)[prefixes]
        rows = np.arange(len(target)) if prefixes is None else prefixes[0]
        number = drawn % np.uint64(len(task.prompts))
        said = dict[str, Sequence[str]]()
        if any(TITLES in FIELD.findall(prompt) for prompt in task.prompts):
            said[TITLES] = self._titles(history)
        if pool.queries is not None:
            said[QUERY] = pool.queries.gather(chosen).to_list()
        named = np.zeros(len(target), bool)
        before, after = [""] * len(target), [""] * len(rows)
        for place, prompt in enumerate(task.prompts):
            mine = number == place
            named[mine] = bool({HISTORY, ITEM} & set(FIELD.findall(prompt)))
            front, back = parts(prompt)
            self._fill(before, front, mine, target, said)
            self._fill(after, back, mine[rows], asked, said)
        history = np.where(named[:, None], history, PAD) if named.any() else np.full((len(target), 1), PAD)
        answers = [None] * len(rows) if task.names_item else self.wordings.filled(task.answer, asked, said)
        return _Part(users, history, target, prefixes, (before, after, answers))

    def _fill(
        self,
        into: list[str],
        template: str,
        mine: np.ndarray,
        items: np.ndarray,
        said: Mapping[str, Sequence[str]],
    ) -> None:
        """Fill a part of a template in for some of the rows [n], with the texts of items [n]."""
        places = np.flatnonzero(mine)
        others = {name: [texts[place] for place in places.tolist()] for name, texts in said.items()}
        for place, text in zip(places, self.wordings.filled(template, items[places], others), strict=True):
            into[place] = text.strip()  # histories may be empty

    def _titles(self, history: np.ndarray) -> list[str]:
        """What the items of histories [n, T] are called, in quotes."""
        items, inverse = np.unique(history, return_inverse=True)
        quoted = np.array([f'"{title}"' for title in self.wordings.of(TITLE, np.maximum(items, 0))], object)
        rows = zip(quoted[inverse.reshape(history.shape)], history != PAD, strict=True)
        return [", ".join(titles[real]) for titles, real in rows]


def mixture(
    tasks: Mapping[str, Task], samples: Samples, each: Samples, items: np.ndarray, wordings: Wordings, seed: int
) -> tuple[Mixture, dict[str, Pool]]:
    """The samples of tasks.

    Args:
        tasks: by name.
        samples: of users, one for many places of a list where they are packed.
        each: of users, one for every place of a list.
        items: int64 [n], the rows of the items that are asked for by themselves.
        wordings: the texts of the items, and what asks for them.
        seed: decides the orders and the prompts.

    Returns:
        All of them, and those of each task by name; some have none, for the want of texts.

    Raises:
        GenrecError: if an item that a user took lacks a text that his task needs.
    """
    pools = {}
    for name, task in tasks.items():
        if task.of_users:
            if lacking := len(items) - len(wordings.there(task.texts, items)):
                raise GenrecError(
                    f"`data.tasks.{name}` is about what users took, and {lacking} of the {len(items)} items of "
                    f"training lack one of its texts ({', '.join(sorted(task.texts))}): leave these out of it"
                )
            pools[name] = Pool(task, samples if task.packs else each)
        elif task.has_query:
            asked, queries = wordings.queries
            fit = np.isin(asked, wordings.there(task.texts, items))
            pools[name] = Pool(task, asked[fit], queries.filter(fit))
        else:
            pools[name] = Pool(task, wordings.there(task.texts, items))
    # By name: in which order they stand in a config is to decide nothing.
    ordered = sorted(pools, key=lambda name: (not pools[name].task.names_item, name))
    return Mixture([pools[name] for name in ordered if pools[name].number], wordings, seed, samples.packed), pools


def _whole(history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every row of histories [n, T] as the one prefix that it has."""
    return np.arange(len(history)), np.full(len(history), history.shape[1])


def _widened(history: np.ndarray, width: int) -> np.ndarray:
    """With padding on the left, up to so many columns."""
    return np.pad(history, ((0, 0), (width - history.shape[1], 0)), constant_values=PAD)

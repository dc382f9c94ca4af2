"""A few words that name an item: given with the data, or its own rarest ones.

Tan et al., "IDGenRec: LLM-RecSys Alignment with Textual ID Learning", SIGIR 2024, arXiv 2403.19021.
Reference implementation: github.com/agiresearch/IDGenRec, `src/utils/indexing.py`. Unlike there, no item's name is
empty, and items of the training split are named before the others.
"""

from __future__ import annotations

import re
import unicodedata
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl

from genrec.assets.recipe import Asset, hash_arrays, hash_texts
from genrec.data import Catalog, Dataset
from genrec.data.catalog import BRAND, CATEGORIES, TAGS, TITLE
from genrec.errors import GenrecError

NAMELESS = "item"
"""What an item without any text is called."""


class ItemTags(Asset):
    """Names of a few words: ``tags``, text [N], none empty and no two the same.

    Items of the training split choose first, in the order of the catalogue, then cold items, then those that are added
    later: a new item renames nobody. An item whose candidates are all taken gets a number behind the first of them.
    """

    @abstractmethod
    def candidates(self, catalog: Catalog, rows: Sequence[int], known: int) -> Iterator[Iterable[str]]:
        """What each of some items may be called, best first; nothing, for an item without text.

        Args:
            catalog: the items, those of the data set first.
            rows: the items in question.
            known: how many items the data set has.
        """

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        """See `Asset.build`."""
        order = np.argsort(~dataset.warm, kind="stable")
        names = np.empty(len(order), object)
        names[order] = choose(self.candidates(dataset.catalog, order.tolist(), len(order)), [])
        return {TAGS: names.astype(str)}

    def encode(self, catalog: Catalog, built: dict[str, np.ndarray]) -> list[str]:
        """The tags of the items behind those that were built; an item's do not depend on the items behind it."""
        taken = built[TAGS].tolist()
        rows = range(len(taken), len(catalog))
        return choose(self.candidates(catalog, rows, len(taken)), taken) if rows else []


def choose(candidates: Iterable[Iterable[str]], taken: Iterable[str]) -> list[str]:
    """The first free name of every item in turn."""
    used, numbers, chosen = set(taken), Counter[str](), []
    for of_item in candidates:
        names = filter(None, map(words, of_item))
        first = next(names, NAMELESS)
        name = next((name for name in chain([first], names) if name not in used), first)
        while name in used:
            numbers[first] += 1
            name = f"{first} {numbers[first] + 1}"
        used.add(name)
        chosen.append(name)
    return chosen


def words(text: str) -> str:
    """A text's words with one blank between two; letters that a tokenizer does not tell apart become the same."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text)))


@dataclass(frozen=True)
class KeywordTags(ItemTags):
    """The rarest words of title, brand and categories by TF-IDF, in their own order: no model at all.

    Args:
        length: how many words; more where it takes more to tell an item from those before it.
    """

    length: int = 5

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return f"tags-keywords-{self.length}"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`."""
        return {**asdict(self), "texts": hash_texts(_fields(dataset.catalog)), "warm": hash_arrays(dataset.warm)}

    def candidates(self, catalog: Catalog, rows: Sequence[int], known: int) -> Iterator[Iterable[str]]:
        """See `ItemTags.candidates`.

        Raises:
            GenrecError: if no item of the data set has a word in its title, brand or categories.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second, and names are made once

        texts = _fields(catalog)
        vectorizer = TfidfVectorizer(token_pattern=r"\w+")
        try:
            vectorizer.fit(texts[:known])
        except ValueError as error:
            raise GenrecError(
                f"none of the {known} items has a word in its title, brand or categories, and KeywordTags names items "
                "by them: give a data set with item text, or tags"
            ) from error
        analyze, rarest = vectorizer.build_analyzer(), vectorizer.idf_.max()
        idf = dict(zip(vectorizer.get_feature_names_out(), vectorizer.idf_, strict=True))
        for row in rows:
            found = analyze(texts[row])
            # Once each, where they come first.
            weights = {word: found.count(word) * idf.get(word, rarest) for word in found}
            yield self._shortest_first(list(weights), np.array(list(weights.values())))

    def _shortest_first(self, terms: list[str], weights: np.ndarray) -> Iterator[str]:
        order = np.argsort(-weights, kind="stable")
        for length in range(min(self.length, len(terms)), len(terms) + 1):
            yield " ".join(terms[place] for place in sorted(order[:length]))


def _fields(catalog: Catalog) -> list[str]:
    """Title, brand and categories of every item, ``""`` where there are none."""
    parts = [pl.col(TITLE), pl.col(BRAND), pl.col(CATEGORIES).list.drop_nulls().list.join(" ")]
    return catalog.items.select(pl.concat_str(parts, separator=" ", ignore_nulls=True)).to_series().to_list()


@dataclass(frozen=True)
class CatalogTags(ItemTags):
    """The tags that came with the items (the column ``tags`` of the catalogue).

    Args:
        otherwise: names the items that have none.
    """

    otherwise: ItemTags | None = None

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return "tags-catalog"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`."""
        given = dataset.catalog.items[TAGS]
        other: dict[str, object] = {}
        if given.null_count() and self.otherwise:
            other = {"asset": self.otherwise.name, **self.otherwise.fingerprint(dataset)}
        return {"tags": hash_texts(given.to_list()), "warm": hash_arrays(dataset.warm), "otherwise": other}

    def candidates(self, catalog: Catalog, rows: Sequence[int], known: int) -> Iterator[Iterable[str]]:
        """See `ItemTags.candidates`.

        Raises:
            GenrecError: if an item has no tags, and nothing else names it.
        """
        given = catalog.items[TAGS].to_list()
        without = [row for row in rows if not given[row]]
        if without and self.otherwise is None:
            raise GenrecError(
                f"{len(without)} items, such as `{catalog.keys[without[0]]}`, have no tags: give them in the column "
                f"`{TAGS}` of the catalogue, or say what names them (`otherwise` of CatalogTags, such as KeywordTags)"
            )
        others = iter(self.otherwise.candidates(catalog, without, known)) if without and self.otherwise else iter(())
        for row in rows:
            yield [given[row]] if given[row] else next(others)

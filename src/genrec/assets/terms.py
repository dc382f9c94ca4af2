"""TF-IDF vectors of the items' words as they are: sparse, of length 1, with a column for every word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import polars as pl
import scipy

from genrec.data import Catalog
from genrec.data.catalog import CATEGORIES
from genrec.errors import GenrecError

Field = Literal["title", "description", "categories", "brand", "tags"]


class Terms:
    """The words of a catalogue: an inner product of two items' vectors is the cosine of their texts.

    Unlike `genrec.assets.TfidfText` it keeps every word, those of a single item as well: no vector has more than a few
    dozen numbers, but a table of them would have tens of thousands of columns.

    Args:
        catalog: the items whose words there are, and that the words' weights are counted in.
        fields: the columns of the catalogue that are read.

    Raises:
        GenrecError: if no field is given, or none of the items has a word in them.
    """

    def __init__(self, catalog: Catalog, fields: Sequence[Field]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second

        if not fields:
            raise GenrecError("TF-IDF reads columns of the catalogue: give at least one field, such as `title`")
        self.fields = tuple(fields)
        self._vectorizer: Any = TfidfVectorizer()
        try:
            self._vectorizer.fit(self._texts(catalog))
        except ValueError as error:
            raise GenrecError(
                f"none of the {len(catalog)} items has a word in {', '.join(self.fields)}: give other fields, or "
                "a data set with item text"
            ) from error

    def vectors(self, catalog: Catalog) -> scipy.sparse.csr_array:
        """The items' vectors, float64 [N, words]; a word that no item had at first counts for nothing."""
        return scipy.sparse.csr_array(self._vectorizer.transform(self._texts(catalog)))

    def _texts(self, catalog: Catalog) -> list[str]:
        joined = {CATEGORIES: pl.col(CATEGORIES).list.drop_nulls().list.join(" ")}
        columns = [joined.get(field, pl.col(field)) for field in self.fields]
        return catalog.items.select(pl.concat_str(columns, separator=" ", ignore_nulls=True)).to_series().to_list()

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from genrec.data import Catalog
from genrec.data import catalog as catalog_module
from genrec.errors import GenrecError


def test_missing_columns_are_null_and_blank_text_too() -> None:
    catalog = Catalog(pl.DataFrame({"item": ["a", "b"], "title": ["Tent", "  "], "price": [1.0, 2.0]}))
    assert catalog.items.columns == ["item", "title", "brand", "description", "categories", "price", "tags"]
    assert len(catalog) == 2
    assert catalog.keys == ["a", "b"]
    assert catalog.titles == ["Tent", ""]
    assert catalog.items["title"].to_list() == ["Tent", None]


def test_texts_join_title_description_categories_brand() -> None:
    catalog = Catalog(
        pl.DataFrame(
            {
                "item": ["a", "b", "c"],
                "title": ["Tent", None, None],
                "brand": ["Halden", "Corvo", None],
                "description": ["Sleeps two", None, None],
                "categories": [["Outdoor", "Tents"], [], None],
            }
        )
    )
    assert catalog.texts() == ["Tent. Sleeps two. Outdoor, Tents. Halden", "Corvo", ""]
    assert catalog.texts(np.array([2, 0, 2])) == ["", "Tent. Sleeps two. Outdoor, Tents. Halden", ""]
    assert catalog.text_lengths().tolist() == [40, 5, 0]


@pytest.mark.parametrize("part", [1, 2, 1_000])
def test_texts_have_the_same_hash_only_if_they_are_the_same(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "PART", part)
    tables = [["ab", "c", "d"], ["a", "bc", "d"], ["abc", "", "d"], ["d", "c", "ab"], ["ab", "c", "d", ""], ["ab", "c"]]
    hashes = [
        Catalog(pl.DataFrame({"item": [str(row) for row in range(len(table))], "title": table})).text_hash
        for table in tables
    ]
    assert len(set(hashes)) == len(tables)
    named = pl.DataFrame({"item": ["x", "y", "z"], "brand": ["ab", "c", "d"]})
    assert Catalog(named).text_hash == hashes[0], "what is read is the text, wherever it stands"


def test_no_text_at_all_is_an_error() -> None:
    with pytest.raises(GenrecError, match="none of the 2 items has any text"):
        Catalog(pl.DataFrame({"item": ["a", "b"]})).texts()


def test_extend_keeps_old_rows() -> None:
    catalog = Catalog(pl.DataFrame({"item": ["a", "b"], "title": ["x", "y"]}))
    longer = catalog.extend(pl.DataFrame({"item": ["c"], "brand": ["Corvo"]}))
    assert longer.keys == ["a", "b", "c"]
    assert longer.titles == ["x", "y", ""]
    assert len(catalog) == 2


def test_a_key_twice() -> None:
    catalog = Catalog(pl.DataFrame({"item": ["a", "b"]}))
    with pytest.raises(GenrecError, match="`c` is in the catalogue twice"):
        catalog.extend(pl.DataFrame({"item": ["c", "c"]}))
    with pytest.raises(GenrecError, match="`b` is in the catalogue already"):
        catalog.extend(pl.DataFrame({"item": ["c", "b"]}))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"asin": ["a"]}, "needs the column `item`; its columns are: asin"),
        ({"item": ["a", None]}, "row 1 of the item table has no key"),
        ({"item": []}, "has no items"),
        ({"item": ["a"], "categories": ["Outdoor"]}, "lists of text as categories"),
    ],
)
def test_bad_item_tables(items: dict[str, list[object]], message: str) -> None:
    with pytest.raises(GenrecError, match=message):
        Catalog(pl.DataFrame(items))


def test_rows_of_keys() -> None:
    catalog = Catalog(pl.DataFrame({"item": ["a100", "b200", "c300"], "title": ["Red train", None, "Blue boat"]}))
    assert catalog.rows(["c300", "a100", "c300"]).tolist() == [2, 0, 2]
    assert catalog.rows([]).dtype == np.int64
    longer = catalog.extend(pl.DataFrame({"item": ["d4"]}))
    assert longer.rows(["d4"]).tolist() == [3]
    for wrong, offered in (("b20", r"`b200` \(no title\)"), ("blue", r"`c300` \(Blue boat\)")):
        with pytest.raises(GenrecError, match=f"there is no item `{wrong}` in the catalogue; did you mean {offered}"):
            catalog.rows(["a100", wrong])

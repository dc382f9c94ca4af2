from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest

from genrec.data.texts import Texts

WORDS = ["b", "a", "", "ß", "a"]


@pytest.mark.parametrize("texts", [Texts(WORDS), Texts(pl.Series(WORDS)), Texts(Texts(iter(WORDS)))])
def test_texts_are_used_as_a_list_is(texts: Texts) -> None:
    assert texts == WORDS
    assert texts != WORDS[:-1]
    assert texts != [*WORDS[:-1], "b"]
    assert list(texts) == [texts[np.int64(row)] for row in range(5)] == WORDS
    assert texts[-1] == "a"
    assert texts[:-3:-1] == WORDS[:-3:-1]
    assert texts.index("ß") == 3
    assert "ß" in texts
    assert "c" not in texts
    assert 3 not in texts
    assert not Texts()
    assert random.Random(0).sample(texts, 5) == random.Random(0).sample(WORDS, 5)
    assert texts.at(np.array([3, 0])).to_list() == ["ß", "b"]
    assert repr(texts) == "<5 texts: 'b', 'a', '', ...>"
    with pytest.raises(IndexError):
        texts[5]

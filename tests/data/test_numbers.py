from __future__ import annotations

import numpy as np

from genrec.data import numbers as module
from genrec.data.numbers import mixed, numbers
from genrec.data.texts import Texts


def slow(key: str) -> int:
    """Eight bytes at a time, the first the lowest; a key's length is what it begins with."""
    content = key.encode()
    found = mixed(np.array([len(content)], np.uint64))
    for start in range(0, len(content), 8):
        word = int.from_bytes(content[start : start + 8].ljust(8, b"\0"), "little")
        found = mixed(found ^ np.uint64(word))
    return int(found[0])


KEYS = ["", "a", "aa", "12345678", "123456789", "\0", "B00000JBNE", "ß" * 30, "😀", "12345678"]


def test_every_key_has_the_number_of_its_bytes(monkeypatch) -> None:
    monkeypatch.setattr(module, "SLICE", 3)
    found = numbers(Texts(KEYS))
    assert found.tolist() == [slow(key) for key in KEYS]
    assert found.dtype == np.uint64
    assert len(set(found.tolist())) == len(set(KEYS))
    assert len(numbers(Texts())) == 0


def test_the_numbers_are_those_of_every_version() -> None:
    assert f"{numbers(Texts(['B00000JBNE']))[0]:016x}" == "7333dab38792e562"

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genrec.data import Dataset, LeaveOneOut, Release, Source
from genrec.errors import GenrecError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    save(folder / "training_dict.npy", {7: [0, 1], 8: [1, 0]})
    save(folder / "validation_dict.npy", {7: [2]})
    save(folder / "testing_dict.npy", {7: [], 8: [3, 1, 3]})
    lines = [{"item_id": item, "asin": f"B{item}", "title": f"T{item}", "tags": "x"} for item in range(4)]
    (folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "SASRec_item_embed.pkl").write_bytes(pickle.dumps(torch.ones(4, 2)))
    return folder


def save(path: Path, value: Any) -> None:
    np.save(path, np.array(value, object), allow_pickle=True)


def error_of(root: Path) -> str:
    with pytest.raises(GenrecError) as error:
        Release("tiny").load(root)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder(folder: Path) -> None:
    dataset = Release("tiny").load(folder.parent)
    assert dataset.users == ["7", "8"]
    assert dataset.catalog.keys == ["B0", "B1", "B2", "B3"]
    assert dataset.catalog.titles[2] == "T2"
    assert dataset.catalog.items["tags"].to_list() == ["x"] * 4
    assert [items.tolist() for items in dataset.validation] == [[2], []]
    assert [items.tolist() for items in dataset.test] == [[], [3, 1]]  # once each, in order
    assert dataset.cf is not None
    assert dataset.cf.shape == (4, 2)


def test_every_users_last_items_can_be_left_out(folder: Path) -> None:
    save(folder / "validation_dict.npy", {7: [2, 0]})
    dataset = Release("tiny", split=LeaveOneOut(min_train=1)).load(folder.parent)
    assert dataset.name == "tiny_loo"
    assert dataset.users == ["7", "8"]
    parts = (dataset.train, dataset.validation, dataset.test)
    # What a user takes again counts once, where it was first.
    assert [[items.tolist() for items in part] for part in parts] == [[[0], [1]], [[1], [0]], [[2], [3]]]
    assert dataset.cf is None
    assert "users who had too little" in str(dataset.notes)
    save(folder / "testing_dict.npy", {7: [3], 8: []})
    dataset = Release("tiny", split=LeaveOneOut()).load(folder.parent)
    assert dataset.users == ["7"]
    assert dataset.notes["findings"]["users left out, with fewer than 2 training interactions"] == 1
    assert dataset.train[0].tolist() == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "users"), [("toys", 15_000), ("beauty", 17_000)])
def test_released_lists_left_out(shared: Path, name: str, users: int) -> None:
    whole, cut = (Release(name, split=split).load(shared / "data" / "setrec") for split in (None, LeaveOneOut()))
    assert users < len(cut.users) <= len(whole.users)
    assert set(cut.validation.lengths) == set(cut.test.lengths) == {1}


def test_who_the_users_are(folder: Path) -> None:
    file = folder / "users.jsonl"
    file.write_text('{"user_id": 8, "key": "A8"}\n{"user_id": 7, "key": "A7"}')
    assert Release("tiny").load(folder.parent).users == ["A7", "A8"]
    for text, complaint in (
        ('{"user_id": 8, "key": "A8"}', "has no key of user 7, who is in training_dict.npy"),
        ('{"user_id": 8, "key": "A"}\n{"user_id": 7, "key": "A"}', "1 users have the key of another one"),
        ('{"user_id": 8, "key": "A"}\n{"user_id": 8, "key": "B"}\n{"user_id": 7, "key": "C"}', "user 8 is there twice"),
        ('{"user_id": 8, "key": " "}\n{"user_id": 7, "key": "A"}', "has no key of user 8"),
        ('{"user_id": 8, "key": ["A"]}\n{"user_id": 7, "key": ["B"]}', "`key` is a text or a whole number, not "),
        ('{"user": 8, "key": "A"}', "needs the fields `user_id` and `key`; its fields are: user, key"),
    ):
        file.write_text(text)
        assert complaint in error_of(folder.parent)


def test_places_where_it_is_looked_for(folder: Path) -> None:
    assert len(Release("tiny").load(folder).users) == 2
    moved = folder.parent / "setrec" / "tiny"
    moved.parent.mkdir()
    folder.rename(moved)
    assert len(Release("tiny").load(folder.parent).users) == 2
    message = error_of(folder.parent / "none")
    assert "none/tiny`" in message
    assert "none/setrec/tiny`" in message


def test_without_text_and_embeddings(folder: Path) -> None:
    (folder / "items.jsonl").unlink()
    (folder / "SASRec_item_embed.pkl").write_bytes(pickle.dumps(torch.ones(6, 2)))
    assert len(Release("tiny").load(folder).catalog) == 6
    (folder / "SASRec_item_embed.pkl").unlink()
    dataset = Release("tiny").load(folder)
    assert dataset.catalog.keys == ["0", "1", "2", "3"]
    assert dataset.cf is None
    with pytest.raises(GenrecError, match="has any text"):
        dataset.catalog.texts()


def test_files_that_do_not_fit(folder: Path) -> None:
    (folder / "SASRec_item_embed.pkl").write_bytes(pickle.dumps(torch.ones(5, 2)))
    assert "shape [5, 2], but the catalogue has 4 items" in error_of(folder)
    (folder / "SASRec_item_embed.pkl").write_bytes(pickle.dumps({"a": 1}))
    assert "holds no table of numbers" in error_of(folder)
    (folder / "SASRec_item_embed.pkl").unlink()
    save(folder / "testing_dict.npy", {9: [1]})
    assert "user 9 is not in training_dict.npy" in error_of(folder)
    save(folder / "testing_dict.npy", {7: [4]})
    assert "item 4 in the test list of user 7 is not in the catalogue" in error_of(folder)
    save(folder / "testing_dict.npy", {7: [], 8: []})
    assert "the test split is empty" in error_of(folder)
    save(folder / "testing_dict.npy", {7: ["one"]})
    assert "what user 7 took is not a list of whole numbers" in error_of(folder)
    save(folder / "testing_dict.npy", {7: [1], "7": [1]})
    assert "two users are called 7, one by a number and one by a text" in error_of(folder)
    save(folder / "testing_dict.npy", {2.5: [1]})
    assert "a user is a whole number or a text, not `2.5`" in error_of(folder)
    save(folder / "testing_dict.npy", [1, 2])
    assert "holds no dictionary" in error_of(folder)
    (folder / "testing_dict.npy").unlink()
    assert "cannot read" in error_of(folder)


def test_item_ids_out_of_order(folder: Path) -> None:
    lines = (folder / "items.jsonl").read_text().splitlines()
    (folder / "items.jsonl").write_text("\n".join([lines[0], lines[2], lines[1], lines[3]]))
    assert "entry 2 has item_id 2, not 1" in error_of(folder)
    (folder / "items.jsonl").write_text("\n".join([*lines[:3], "{"]))
    assert "items.jsonl, line 4: not valid JSON" in error_of(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "users", "interactions", "warm", "cold", "validating", "testing", "width"),
    [
        ("toys", 15_635, (114_983, 12_740, 14_776), 11_285, 623, 4_961, 5_559, 64),
        ("beauty", 18_136, (132_990, 16_641, 17_579), 11_407, 617, 6_683, 6_424, 64),
        ("sports", 27_591, (176_605, 30_901, 31_989), 17_370, 970, 11_537, 11_544, None),
        ("steam", 32_919, (1_147_583, 145_700, 142_947), 11_073, 3_257, 25_105, 24_845, 64),
    ],
)
def test_the_published_counts(
    shared: Path,
    name: str,
    users: int,
    interactions: tuple[int, int, int],
    warm: int,
    cold: int,
    validating: int,
    testing: int,
    width: int | None,
) -> None:
    dataset = Release(name).load(shared / "data")
    assert len(dataset.users) == len(dataset.train) == users
    assert (len(dataset.train.values), len(dataset.validation.values), len(dataset.test.values)) == interactions
    assert (dataset.warm.sum(), (~dataset.warm).sum()) == (warm, cold)
    assert len(dataset.catalog) == warm + cold
    assert (dataset.validation.lengths > 0).sum() == validating
    assert (dataset.test.lengths > 0).sum() == testing
    assert (None if dataset.cf is None else dataset.cf.shape[1]) == width
    if name == "steam":
        with pytest.raises(GenrecError, match="has any text"):
            dataset.catalog.texts()
    else:
        assert all(dataset.catalog.texts())  # every item has at least a category


def test_the_published_cold_items(shared: Path) -> None:
    from genrec.data.sources.safe_pickle import load_npy

    folder = shared / "data" / "setrec" / "toys"
    cold = np.flatnonzero(~Release("toys").load(folder).warm)
    assert set(cold.tolist()) == load_npy(folder / "cold_item.npy")


class Elsewhere(Source):
    def __init__(self, dataset: Dataset | None) -> None:
        self.dataset = dataset

    def load(self, root: str | Path) -> Dataset:
        if self.dataset is None:
            raise GenrecError("no net")
        return self.dataset


def test_a_data_set_that_is_not_there_is_made_elsewhere(tmp_path: Path, dataset: Dataset) -> None:
    assert Release("toys", Elsewhere(dataset)).load(tmp_path) is dataset
    with pytest.raises(GenrecError, match=r"no training_dict.npy in .*toys`.* cannot be made from raw files: no net"):
        Release("toys", Elsewhere(None)).load(tmp_path)


def test_a_row_for_padding_would_move_every_item(folder: Path) -> None:
    (folder / "items.jsonl").unlink()
    for table in (torch.ones(5, 2), torch.cat([torch.zeros(1, 2), torch.ones(6, 2)])):
        (folder / "SASRec_item_embed.pkl").write_bytes(pickle.dumps(table))
        assert "begin with a row for padding" in error_of(folder)


@pytest.mark.parametrize(
    ("item", "said"), [(10**7, "4 items with ids up to 10,000,000"), (10**12, "took item"), (-1, "took item -1")]
)
def test_ids_that_no_table_could_hold(folder: Path, item: int, said: str) -> None:
    for name in ("items.jsonl", "SASRec_item_embed.pkl"):
        (folder / name).unlink()
    save(folder / "testing_dict.npy", {7: [item]})
    assert said in error_of(folder)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"item_id": [0], "title": "T"}, "items.jsonl`: `[0]` in field `item_id` is no key"),
        ({"item_id": 0, "asin": ["B"]}, "items.jsonl`: `['B']` in field `asin` is no key"),
    ],
)
def test_item_keys_that_are_lists(folder: Path, line: dict[str, Any], said: str) -> None:
    (folder / "items.jsonl").write_text(json.dumps(line) + "\n")
    assert said in error_of(folder)


def test_items_are_read_as_those_of_a_table(folder: Path) -> None:
    lines = [
        {"item_id": 0, "asin": "A", "Title": ["Red &amp; blue", "car"], "categories": [["Toys", "nan"]], "tags": []},
        {"item_id": 1, "asin": "A ", "Title": "A boat", "categories": "['Toys']", "tags": [], "price": "$1,299.50"},
        *({"item_id": item, "tags": []} for item in (2, 3)),
    ]
    write_items(folder, [lines[0], {**lines[1], "asin": "B"}, *lines[2:]])
    dataset = Release("tiny").load(folder)
    assert dataset.catalog.items.to_dicts()[:2] == [
        {
            **{"item": "A", "title": "Red & blue car", "brand": None, "description": None, "categories": ["Toys"]},
            **{"price": None, "tags": None},
        },
        {
            **{"item": "B", "title": "A boat", "brand": None, "description": None, "categories": ["Toys"]},
            **{"price": 1299.5, "tags": None},
        },
    ]
    assert dataset.catalog.keys[2] == "2"
    assert dataset.notes["findings"]["column `Title`"] == "read as title"
    write_items(folder, lines)
    assert "the item `A` is in the catalogue twice" in error_of(folder)


def write_items(folder: Path, lines: list[dict[str, Any]]) -> None:
    (folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_what_is_odd_is_said_or_refused(folder: Path) -> None:
    table = torch.ones(4, 2)
    table[2, 1] = torch.nan
    (folder / "SASRec_item_embed.pkl").write_bytes(pickle.dumps(table))
    assert "row 2 holds numbers that are not finite (1 such rows)" in error_of(folder)
    (folder / "SASRec_item_embed.pkl").unlink()
    lines = [{"item_id": item, "Colour": "red"} for item in range(4)]
    (folder / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    notes = Release("tiny").load(folder).notes
    assert notes == {"findings": {"columns of the item table that are not read": "Colour"}}
    (folder / "items.jsonl").unlink()
    save(folder / "training_dict.npy", {7: [0, 1], 8: [1, 9]})
    notes = Release("tiny").load(folder).notes
    assert notes == {"findings": {"ids that nobody took, items without text like all": 5}}
    save(folder / "training_dict.npy", {7: [True, False], 8: [1]})
    assert "what user 7 took is not a list of whole numbers" in error_of(folder)

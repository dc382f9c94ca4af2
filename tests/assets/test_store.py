from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.assets import Asset, AssetStore
from genrec.assets.item_assets import Assets
from genrec.assets.kept import KeptStore
from genrec.assets.recipe import hash_arrays, hash_lists, hash_texts
from genrec.assets.store import DIAGNOSTICS
from genrec.data import Dataset, Ragged
from genrec.errors import GenrecError

# The tests' processes start from this one, so that they need not import everything again. Polars has threads, which do
# not survive that: the asset below reads the users' lists, not the texts.
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Rows(Asset):
    """0, factor, 2 * factor ...; every build adds a line to the log."""

    log: Path
    factor: int = 1
    seconds: float = 0.0
    dies: bool = False

    @property
    def name(self) -> str:
        return "rows"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        return {"factor": self.factor, "train": hash_lists(dataset.train)}

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        with self.log.open("a") as file:
            file.write("built\n")
        (folder / "half a file").write_text("scratch")
        time.sleep(self.seconds)
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.factor > 1:
            (folder / DIAGNOSTICS).write_text(f'{{"factor": {self.factor}}}')
        return {"numbers": np.arange(len(dataset.catalog)) * self.factor, "names": np.array(["a", "bc"])}


@pytest.fixture
def store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "assets")


@pytest.fixture
def asset(tmp_path: Path) -> Rows:
    return Rows(tmp_path / "log")


def builds(asset: Rows) -> int:
    return len(asset.log.read_text().splitlines())


def visible(store: AssetStore) -> list[Path]:
    return [path for path in store.root.iterdir() if not path.name.startswith(".")]


def test_arrays_are_mapped_and_a_change_reaches_no_file(store: AssetStore, dataset: Dataset, tmp_path: Path) -> None:
    arrays = store.get(Rows(tmp_path / "log"), dataset)
    assert isinstance(arrays["numbers"], np.memmap)
    arrays["numbers"][:] = -1
    assert store.get(Rows(tmp_path / "log"), dataset)["numbers"].tolist() == list(range(12))


def test_an_asset_is_built_once_and_read_afterwards(store: AssetStore, asset: Rows, dataset: Dataset) -> None:
    first, second = store.get(asset, dataset), AssetStore(str(store.root)).get(asset, dataset)
    assert builds(asset) == 1
    assert first.keys() == second.keys() == {"numbers", "names"}
    np.testing.assert_array_equal(second["numbers"], np.arange(12))
    assert second["names"].tolist() == ["a", "bc"]


def test_the_manifest_tells_what_lies_beside_it(store: AssetStore, asset: Rows, dataset: Dataset) -> None:
    store.get(asset, dataset)
    (folder,) = visible(store)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert folder.name.startswith("rows-")
    assert len(folder.name) == len("rows-") + 16
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "numbers.npy", "names.npy"}
    assert manifest["fingerprint"]["factor"] == 1
    assert manifest["files"]["numbers.npy"]["bytes"] == (folder / "numbers.npy").stat().st_size
    assert "torch" in manifest["versions"]


def test_nothing_is_left_of_the_work(store: AssetStore, asset: Rows, dataset: Dataset) -> None:
    store.get(asset, dataset)
    assert not list(store.root.rglob("*half*"))
    assert not list(store.root.glob("*.unfinished"))


def test_another_parameter_or_input_is_another_asset(store: AssetStore, asset: Rows, dataset: Dataset) -> None:
    other = Dataset("twelve", dataset.catalog, dataset.users, dataset.test, dataset.validation, dataset.test)
    twice = Rows(asset.log, factor=2)
    for each, data in ((asset, dataset), (twice, dataset), (asset, other)):
        store.get(each, data)
    assert builds(asset) == 3
    assert len(visible(store)) == 3
    np.testing.assert_array_equal(store.get(twice, dataset)["numbers"], 2 * np.arange(12))
    assert builds(asset) == 3


def test_only_what_was_built_is_there(store: AssetStore, asset: Rows, dataset: Dataset) -> None:
    assert not store.has(asset, dataset)
    store.get(asset, dataset)
    assert store.has(asset, dataset)
    assert not store.has(replace(asset, factor=2), dataset)
    assert builds(asset) == 1


def test_what_a_build_told_is_kept(store: AssetStore, asset: Rows, dataset: Dataset) -> None:
    telling = replace(asset, factor=3)
    assert store.diagnostics(telling, dataset) == {}, "it was not built"
    items = Assets(root=str(store.root)).bind(dataset)
    assert items.diagnostics() == {}
    items.built(asset)
    assert items.diagnostics() == {}, "nothing was told"
    items.built(telling)
    name = store.folder(telling, dataset).name
    assert items.diagnostics() == {name: {"factor": 3}}
    items.built(replace(asset, factor=4))
    assert items.diagnostics()[name] == {"factor": 3}, "another of its name takes nothing away"
    assert len(items.diagnostics()) == 2
    assert store.diagnostics(telling, dataset) == {"factor": 3}


def test_of_two_recipes_of_one_name_a_training_keeps_both(store: AssetStore, asset: Rows, dataset: Dataset) -> None:
    recipes = [replace(asset, factor=factor) for factor in (2, 3)]
    for recipe in recipes:
        store.get(recipe, dataset)
    kept = KeptStore(store, {key: store.folder(recipe, dataset).name for key, recipe in store.asked.items()})
    changed = Dataset("twelve", dataset.catalog, dataset.users, dataset.test, dataset.validation, dataset.test)
    for recipe in recipes:
        np.testing.assert_array_equal(kept.get(recipe, changed)["numbers"], np.arange(12) * recipe.factor)
    assert not kept.has(asset, changed)
    with pytest.raises(GenrecError, match="is missing, and cannot be made of data that have changed"):
        kept.get(asset, changed)


def flip_last_byte(folder: Path) -> None:
    content = (folder / "numbers.npy").read_bytes()
    (folder / "numbers.npy").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def cut_off(file: str) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: len(content) // 2])

    return cut


def remove(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def write_manifest(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "manifest.json").write_text(text) and None


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(flip_last_byte, id="one bit differs"),
        pytest.param(cut_off("numbers.npy"), id="array cut off"),
        pytest.param(remove("numbers.npy"), id="array missing"),
        pytest.param(cut_off("manifest.json"), id="manifest cut off"),
        pytest.param(remove("manifest.json"), id="manifest missing"),
        pytest.param(write_manifest("[]"), id="manifest of another kind"),
        pytest.param(write_manifest('{"files": {"numbers.npy": {}}}'), id="manifest without hashes"),
    ],
)
def test_a_folder_that_is_not_whole_is_built_anew(
    store: AssetStore, asset: Rows, dataset: Dataset, damage: Callable[[Path], None]
) -> None:
    store.get(asset, dataset)
    damage(visible(store)[0])
    np.testing.assert_array_equal(store.get(asset, dataset)["numbers"], np.arange(12))
    assert builds(asset) == 2
    store.get(asset, dataset)
    assert builds(asset) == 2


def test_arrays_of_python_objects_are_never_unpickled(store: AssetStore, asset: Rows, dataset: Dataset) -> None:
    class Objects(Rows):
        def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
            return {"objects": np.array([print, None], dtype=object)}

    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        store.get(Objects(asset.log), dataset)
    assert not visible(store)


def test_a_killed_build_leaves_nothing_that_is_trusted(store: AssetStore, asset: Rows, dataset: Dataset) -> None:
    process = FORK.Process(target=store.get, args=(Rows(asset.log, dies=True), dataset))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert list(store.root.rglob("half a file")), "the test wants a build that died half-way"
    assert not visible(store)
    np.testing.assert_array_equal(store.get(asset, dataset)["numbers"], np.arange(12))
    assert builds(asset) == 2
    assert not list(store.root.rglob("half a file"))


def test_a_failed_build_leaves_nothing(store: AssetStore, asset: Rows, dataset: Dataset) -> None:
    class Failing(Rows):
        def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        store.get(Failing(asset.log), dataset)
    assert {path.suffix for path in store.root.iterdir()} <= {".lock"}
    store.get(asset, dataset)
    assert builds(asset) == 1


def test_two_processes_at_once_build_once(
    store: AssetStore, asset: Rows, dataset: Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    slow = Rows(asset.log, seconds=0.5)
    sums = FORK.SimpleQueue()

    def work() -> None:
        sums.put(int(store.get(slow, dataset)["numbers"].sum()))

    processes = [FORK.Process(target=work) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [sums.get(), sums.get()] == [11 * 12 / 2] * 2
    assert builds(asset) == 1
    assert capfd.readouterr().out.count("waiting for another process") == 1


def test_a_stale_lock_file_stops_nobody(store: AssetStore, asset: Rows, dataset: Dataset) -> None:
    store.get(asset, dataset)
    shutil.rmtree(visible(store)[0])
    assert list(store.root.glob(".*.lock"))
    store.get(asset, dataset)
    assert builds(asset) == 2


@given(st.lists(st.text(max_size=3), max_size=3), st.lists(st.text(max_size=3), max_size=3))
def test_texts_have_the_same_hash_only_if_they_are_the_same(first: list[str], second: list[str]) -> None:
    assert (hash_texts(first) == hash_texts(second)) == (first == second)
    # Where one text ends and the next begins counts.
    assert hash_texts(["".join(first)]) != hash_texts([*first, "", ""])


def test_hashes_tell_shapes_types_and_borders_apart() -> None:
    zeros = [np.zeros(shape, dtype) for shape in ((2, 3), (3, 2), 6) for dtype in (np.float32, np.int32)]
    assert len({hash_arrays(array) for array in zeros}) == len(zeros)
    lists = [[[1, 2], [3]], [[1], [2, 3]], [[1, 2, 3], []], [[1, 3], [2]]]
    assert len({hash_lists(Ragged.from_lists(each)) for each in lists}) == len(lists)
    strided = np.arange(12).reshape(3, 4)[:, ::2]
    assert hash_arrays(strided) == hash_arrays(strided.copy())

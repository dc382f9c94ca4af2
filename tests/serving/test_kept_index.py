"""An index is built once and found again; whatever else is in its file, it is built again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from genrec import from_pretrained, load
from genrec.decoding.structures import Graph, Lists
from genrec.decoding.vector_index import Kind, Tuned, VectorIndex
from genrec.serving import kept_index
from genrec.serving.kept_index import Place

from ..served import SETREC, make_run, recommender

KINDS: tuple[Kind, ...] = ("ivf", "hnsw", "ivf_pq")


def learned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who learns from now on."""
    who: list[str] = []
    for each in (Lists, Graph):
        before = each.add
        monkeypatch.setattr(each, "add", lambda self, *args, _add=before: (who.append("built"), _add(self, *args)))
    return who


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("kept"), recommender(SETREC))


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_is_built_once(
    kind: Kind, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    who, served = learned(monkeypatch), load(run)
    histories = [served.catalog.keys[start : start + 3] for start in range(0, 60, 3)]
    share = served.build_index(kind, k=4, recall=0.9)
    assert who == ["built"]
    assert [path.name for path in (run / "index").glob(f"*-{kind}.*")] == [f"best-{kind}.safetensors"]
    expected = served.recommend(histories, k=4)
    again = load(run)
    assert again.build_index(kind, k=4, recall=0.9) == share
    assert again.recommend(histories, k=4).equals(expected)
    monkeypatch.setattr("genrec.serving.indexing.Indexing._probes", lambda self: pytest.fail("tuned again"))
    again.save_pretrained(tmp_path / "saved")
    saved = from_pretrained(tmp_path / "saved")
    assert saved.build_index(kind, k=4, recall=0.9) == share
    assert saved.recommend(histories, k=4)["item"].equals(expected["item"])
    assert who == ["built"]
    saved.add_items(pl.DataFrame({"item": ["new"], "title": ["Wooden Train"]}))
    assert who == ["built", "built"], "the new one"
    saved.save_pretrained(tmp_path / "longer")
    longer = from_pretrained(tmp_path / "longer")
    longer.build_index(kind, k=4, recall=0.9)
    assert who == ["built", "built"]
    assert len(longer.index or []) == 141
    assert capsys.readouterr().err == ""


def test_another_recall_is_tuned_for_and_other_items_are_sorted_anew(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load(run).build_index("ivf", k=4, recall=0.5)
    who, served = learned(monkeypatch), load(run)
    served.build_index("ivf", k=4, recall=0.95)
    assert not who
    assert isinstance(served.index, VectorIndex)
    assert served.index.tuned is not None
    assert served.index.tuned.recall == 0.95
    served.model.identifier.corpus[7] *= -1  # type: ignore[union-attr, operator, index]
    served.build_index("ivf", k=4, recall=0.95)
    assert who == ["built"]
    assert "is no index of these items (they have changed since): it is built again" in capsys.readouterr().err


def test_an_index_that_cannot_be_kept_is_used(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    served = load(run)
    (tmp_path / "index").write_text("a file, where a folder should be")
    served.place = Place(tmp_path / "index", "", True)
    served.build_index("ivf", k=4)
    assert served.recommend([[]], k=2).height == 2
    assert "cannot be written" in capsys.readouterr().err


Change = Callable[[dict[str, np.ndarray], dict[str, Any]], Any]


def _links_up(arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    arrays["levels"][:] = 1
    arrays["levels"][int(arrays["entry"][0])] = 2
    arrays["neighbors"] = np.zeros(64 * len(arrays["levels"]) + 32, np.int32)


HOSTILE: dict[str, tuple[Kind, Change]] = {
    "a list that is not there": ("ivf", lambda arrays, about: arrays["lists"].fill(10**6)),
    "a list below all": ("ivf_pq", lambda arrays, about: arrays["lists"].fill(-1)),
    "lists of fewer items": ("ivf", lambda arrays, about: arrays.update(lists=arrays["lists"][1:])),
    "lists of other numbers": ("ivf", lambda arrays, about: arrays.update(lists=arrays["lists"].astype(np.float32))),
    "no lists": ("ivf", lambda arrays, about: arrays.pop("lists")),
    "no centres": ("ivf", lambda arrays, about: arrays.update(centres=arrays["centres"][:0])),
    "narrow centres": ("ivf", lambda arrays, about: arrays.update(centres=arrays["centres"][:, 1:].copy())),
    "short books": ("ivf_pq", lambda arrays, about: arrays.update(books=arrays["books"][1:])),
    "a link that leads nowhere": ("hnsw", lambda arrays, about: arrays["neighbors"].fill(10**6)),
    "a link below all": ("hnsw", lambda arrays, about: arrays["neighbors"].fill(-2)),
    "links to a floor that is not there": ("hnsw", _links_up),
    "too few links": ("hnsw", lambda arrays, about: arrays.update(neighbors=arrays["neighbors"][1:])),
    "many floors": ("hnsw", lambda arrays, about: arrays["levels"].fill(10**6)),
    "no floor": ("hnsw", lambda arrays, about: arrays["levels"].fill(0)),
    "an entry that is not there": ("hnsw", lambda arrays, about: arrays["entry"].fill(140)),
    "marks of nothing": ("ivf", lambda arrays, about: arrays["marks"].fill(np.nan)),
    "no effort": ("ivf", lambda arrays, about: about.update(effort=0)),
    "much effort": ("hnsw", lambda arrays, about: about.update(effort=10**9)),
    "many candidates": ("ivf", lambda arrays, about: about.update(deep=10**9)),
    "half a number": ("ivf", lambda arrays, about: about.update(deep=float("inf"))),
    "no radius": ("ivf", lambda arrays, about: about.update(radius=0)),
    "a text for a number": ("ivf", lambda arrays, about: about.update(radius="1")),
    "a list for a number": ("ivf", lambda arrays, about: about.update(k=[1])),
    "another width": ("ivf", lambda arrays, about: about.update(width=3)),
    "nothing": ("ivf", lambda arrays, about: about.clear()),
}


@pytest.fixture(scope="module")
def vectors() -> torch.Tensor:
    return torch.randn(140, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def files(vectors: torch.Tensor, tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    made: dict[Kind, Path] = {}
    for kind in KINDS:
        index = VectorIndex(vectors, kind)
        index.tuned = Tuned(4, 0.9, index.tune(vectors, 4, 0.9))
        made[kind] = tmp_path_factory.mktemp("files") / f"{kind}.safetensors"
        kept_index.write(made[kind], index)
        assert isinstance(kept_index.read(made[kind], vectors, kind), VectorIndex)
    return made


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_of_somebody_who_means_ill(
    name: str, files: dict[Kind, Path], vectors: torch.Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, change = HOSTILE[name]
    with safe_open(files[kind], framework="numpy") as file:
        about = json.loads(file.metadata()["index"])
        arrays = {key: file.get_tensor(key).copy() for key in file.keys()}  # noqa: SIM118
    change(arrays, about)
    path = tmp_path / "evil.safetensors"
    save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, path, {"index": json.dumps(about)})
    assert kept_index.read(path, vectors, kind) is None
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_numbers_that_mean_nothing_do_no_harm(files: dict[Kind, Path], vectors: torch.Tensor, tmp_path: Path) -> None:
    """They are worth nothing as an index, and what is found is exact all the same."""
    for kind, names in {"ivf": ["centres"], "ivf_pq": ["centres", "books"]}.items():
        with safe_open(files[kind], framework="numpy") as file:  # type: ignore[index]
            arrays = {key: file.get_tensor(key).copy() for key in file.keys()}  # noqa: SIM118
            about = file.metadata()
        for name in names:
            arrays[name][:] = np.nan
        save_file(arrays, tmp_path / "evil.safetensors", about)
        index = kept_index.read(tmp_path / "evil.safetensors", vectors, kind)  # type: ignore[arg-type]
        assert index is not None
        items, scores = index.search(vectors[:9], 3)
        torch.testing.assert_close(scores, (vectors[:9] @ vectors.T).gather(1, items))


def test_a_file_that_is_none(
    files: dict[Kind, Path], vectors: torch.Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = files["ivf"].read_bytes()
    for number, content in enumerate([b"", b"IwFl" + bytes(64), whole[:-9], whole[:40], b"\xff" * 99]):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(content)
        assert kept_index.read(path, vectors, "ivf") is None
        assert "it is built again" in capsys.readouterr().err
    assert kept_index.read(files["ivf"], vectors, "hnsw") is None
    assert kept_index.read(files["ivf"], vectors[1:], "ivf") is None
    assert kept_index.read(tmp_path / "nowhere", vectors, "ivf") is None

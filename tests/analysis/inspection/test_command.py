"""The command on a model that is set up, without training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch

from genrec.analysis.inspection import Inspection
from genrec.analysis.inspection.command import command
from genrec.assets import Assets, FSQCodes, ItemCodes, PQCodes, ReleasedCF, RQKMeansCodes, RVQCodes, TfidfText
from genrec.backbones import T5Backbone
from genrec.cli import main
from genrec.data import Catalog, Dataset, InMemory, SequenceData
from genrec.errors import GenrecError
from genrec.identifiers import ItemIdentifier, SETRec
from genrec.recommenders.alone import set_up
from genrec.recommenders.recommender import Recommender
from genrec.recommenders.references import Popularity
from genrec.serving.served import Served
from genrec_baselines import CID, TIGER, E4SRec

SIZES = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 4}


def serve(identifier: ItemIdentifier, dataset: Dataset, folder: Path, text: TfidfText | None = None) -> Served:
    torch.manual_seed(0)
    assets = Assets(text=text, cf=ReleasedCF(), root=str(folder))
    model = Recommender(identifier, T5Backbone(sizes=SIZES), assets, ks=(1,))
    data = SequenceData(InMemory(dataset))
    set_up(model, data)
    return Served(model, data, {})


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the command loads."""
    place = SimpleNamespace(served=None)
    monkeypatch.setattr("genrec.serving.served.load", lambda run, data_root, trust: place.served)
    return place


def test_token_sequences(dataset: Dataset, tmp_path: Path, loaded: Any, capsys: pytest.CaptureFixture[str]) -> None:
    loaded.served = served = serve(CID(), dataset, tmp_path)
    output = tmp_path / "numbers.json"
    capsys.readouterr()
    main(["inspect", "run", "--neighbours", "2", "--output", str(output)])
    found = json.loads(output.read_text())
    assert found["items"] == {"all": 12, "warm": 8, "cold": 4}
    assert found["sequences"]["distinct"] == 12
    parameters = sum(parameter.numel() for parameter in served.model.parameters())
    assert sum(part["all"] for part in found["parameters"].values()) == parameters
    assert sum(part["trained"] for part in found["parameters"].values()) == parameters
    neighbours = found["neighbours"]
    assert neighbours["text"] == "text-tfidf-256", "the run has no text encoder"
    assert neighbours["chance"] == pytest.approx(2 / 11)
    assert neighbours["cold"]["items"] == 4
    assert neighbours["cold"]["cold"] == 1, "cold items have a branch of their own"
    printed = capsys.readouterr().out
    assert "12 items, 8 warm and 4 cold" in printed
    identifier: Any = served.model.identifier
    for example in found["examples"]:
        assert example["identifier"] == identifier.describe(served.rows([example["item"]])[0])
        assert f"{example['item']}, {'warm' if example['warm'] else 'cold'}: {example['title']}" in printed
        for name in ("identifier", "text"):
            assert example["item"] not in [other["item"] for other in example["neighbours"][name]]
    assert [example["warm"] for example in found["examples"]] == [True] * 3 + [False] * 2


def test_sets_and_vectors(dataset: Dataset, tmp_path: Path) -> None:
    served = serve(SETRec(n_semantic=2), dataset, tmp_path, TfidfText(dim=8))
    inspection = Inspection(served, k=3)
    found = inspection.overview()
    assert list(found["vectors"]) == ["collaborative", "semantic 1", "semantic 2", "score"]
    assert [numbers["width"] for numbers in found["vectors"].values()] == [32, 32, 32, 3 * 32]
    assert found["neighbours"]["text"] == "text-tfidf-8", "the run's own"
    assert 0 < found["neighbours"]["warm"]["overlap"] <= 1
    (item,) = inspection.look(torch.tensor([4]))
    assert list(item["neighbours"]) == ["identifier", "collaborative", "semantic 1", "semantic 2", "text"]
    # An oracle for the neighbours by the collaborative token.
    identifier: Any = served.model.identifier
    tokens = identifier.corpus[:, 0]
    alike = torch.cosine_similarity(tokens[4:5], tokens)
    expected = [row for row in alike.argsort(descending=True).tolist() if row != 4][:3]
    assert [other["item"] for other in item["neighbours"]["collaborative"]] == [f"key{row}" for row in expected]
    json.dumps(found)


class Coded(SETRec):
    def item_codes(self) -> tuple[torch.Tensor, list[int]]:
        return torch.tensor([[0, 1]] * 9 + [[1, 0], [1, 1], [2, 0]], dtype=torch.uint8), [4, 2]


def test_codes(dataset: Dataset, tmp_path: Path, loaded: Any, capsys: pytest.CaptureFixture[str]) -> None:
    loaded.served = serve(Coded(n_semantic=1), dataset, tmp_path, TfidfText(dim=8))
    output = tmp_path / "numbers.json"
    capsys.readouterr()
    command(["run", "--neighbours", "2", "--output", str(output)])
    found = json.loads(output.read_text())["codes"]
    assert (found["sizes"], found["used"], found["alike"], found["largest_group"]) == ([4, 2], [3 / 4, 1.0], 9, 9)
    assert found["collision_rate"] == pytest.approx(1 - 4 / 12)
    printed = capsys.readouterr().out
    assert "9 of 12 items share all of their codes with another; up to 9 the same" in printed
    assert "75.0%" in printed
    assert "vectors of" in printed, "and all else as before"


@pytest.mark.parametrize(
    "codes",
    [RQKMeansCodes(2, 4), RVQCodes(2, 4, steps=5), PQCodes(2, 4, rotate=False), FSQCodes(2, (3, 4), steps=5)],
    ids=lambda codes: codes.name,
)
def test_codes_of_any_recipe(
    codes: ItemCodes, dataset: Dataset, tmp_path: Path, loaded: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    if isinstance(codes, RVQCodes | FSQCodes):
        pytest.importorskip("vector_quantize_pytorch")
    loaded.served = serve(TIGER(codes), dataset, tmp_path, TfidfText(dim=8))
    output = tmp_path / "numbers.json"
    capsys.readouterr()
    command(["run", "--items", "0", "--output", str(output)])
    found = json.loads(output.read_text())
    assert found["codes"]["sizes"] == [codes.size, codes.size, 256]
    ((name, told),) = found["assets"].items()
    assert name.startswith(codes.name)
    assert told["used"] == found["codes"]["used"][:2]
    bits = ", ".join(f"{entropy:.2f}" for entropy in told["entropy"])
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{name}: {told['reconstruction']:.1%} of the variance lost; " in printed
    assert f"in use, with an entropy of {bits} bits" in printed


def test_items_that_were_added_are_cold(dataset: Dataset, tmp_path: Path) -> None:
    served = serve(E4SRec(), dataset, tmp_path)
    served.add_items(pl.DataFrame({"item": ["new"], "title": ["red train number 9"]}))
    inspection = Inspection(served, k=3, text="tfidf")
    found = inspection.overview()
    assert found["items"] == {"all": 13, "warm": 8, "cold": 5}
    assert list(found["vectors"]) == ["token 1", "score"], "its token has no name of its own"
    (item,) = inspection.look(torch.from_numpy(served.rows(["new"])))
    assert not item["warm"]
    assert all("red train" in other["title"] for other in item["neighbours"]["text"])


def test_one_item(dataset: Dataset, tmp_path: Path, loaded: Any, capsys: pytest.CaptureFixture[str]) -> None:
    loaded.served = serve(SETRec(n_semantic=1), dataset, tmp_path, TfidfText(dim=8))
    capsys.readouterr()
    command(["run", "--item", "key3", "--neighbours", "4"])
    printed = capsys.readouterr().out
    assert "key3, warm: red train number 3" in printed
    assert "a set of 1 collaborative and 1 semantic tokens of width 32" in printed
    assert printed.count("│ semantic 1 ") == 4
    assert "effective rank" not in printed
    with pytest.raises(GenrecError, match="no item `key99`"):
        command(["run", "--item", "key99"])


def test_items_without_text(dataset: Dataset, tmp_path: Path) -> None:
    bare = replace(dataset, catalog=Catalog(dataset.catalog.items.select("item")))
    served = serve(E4SRec(), bare, tmp_path)
    inspection = Inspection(served)
    assert inspection.overview()["neighbours"]["text"] is None
    assert list(inspection.likenesses) == ["identifier"]
    with pytest.raises(GenrecError, match="has any text"):
        Inspection(served, text="tfidf")
    with pytest.raises(GenrecError, match="no text encoder is configured"):
        Inspection(served, text="run")


def test_bad_input(dataset: Dataset, tmp_path: Path, loaded: Any) -> None:
    loaded.served = serve(CID(), dataset, tmp_path)
    for wrong, complaint in (
        (["--neighbours", "0"], "1 to 11 neighbours to look at, not 0"),
        (["--neighbours", "12"], "1 to 11 neighbours to look at, not 12"),
        (["--seed", "-1"], "the seed is a number from 0 on, not -1"),
    ):
        with pytest.raises(GenrecError, match=complaint):
            command(["run", *wrong])
    for wrong in (["--items", "-1"], ["--output", "numbers.csv"]):
        with pytest.raises(GenrecError, match=wrong[0]):
            command(["run", *wrong])
    data = SequenceData(InMemory(dataset))
    model = Popularity(ks=(1,))
    set_up(model, data)
    loaded.served = Served(model, data, {})
    with pytest.raises(GenrecError, match="Popularity has no identifier to inspect"):
        command(["run"])

"""What others read: adapters by peft, identifiers as json and parquet, and a list that only public tools have made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from genrec import Served, load
from genrec.cli import main
from genrec.data import Synthetic
from genrec.errors import GenrecError
from genrec.identifiers import ItemIdentifier
from genrec.serving.ids import identifiers

from ..models import qwen
from ..served import BIGREC, SETREC, TIGER, make_run, recommender

PAGE = Path(__file__).resolve().parents[2] / "docs" / "leaving.md"
CID = {"class_path": "genrec_baselines.CID"}
RPG = {
    "class_path": "genrec_baselines.RPG",
    "init_args": {"codes": {"class_path": "PQCodes", "init_args": {"digits": 4, "size": 8, "dim": 8}}},
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("identifier", "tied"), [(TIGER, True), (TIGER, False), (CID, True)], ids=["tied", "untied", "of several lengths"]
)
def test_the_page_ranks_with_public_tools_as_we_do(identifier: dict[str, Any], tied: bool, tmp_path: Path) -> None:
    texts = Synthetic(users=150, items=140).load(tmp_path).catalog.texts()
    qwen(tmp_path / "base", texts, tied)
    options = {"pretrained": str(tmp_path / "base"), "tuning": "lora", "lora": {"rank": 2}}
    backbone = {"class_path": "genrec.backbones.CausalBackbone", "init_args": options}
    run = make_run(tmp_path, recommender(identifier, backbone))
    served = load(run)
    served.save_pretrained("my_recommender")
    main(["export-ids", "my_recommender", "--output", "ids.json"])
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    history = list(served.catalog.keys[3:8])
    code = code.replace("Qwen/Qwen2.5-1.5B", str(tmp_path / "base")).replace(
        '["B004S8F7QM", "B0039S7NO6"]', str(history)
    )
    names: dict[str, Any] = {}
    exec(code, names)
    for asked in (history, history[:1], list(served.catalog.keys[20:40])):
        found = names["recommend"](asked, 5)
        wanted = served.recommend([asked], 5, repeats=True)
        assert [key for key, _ in found] == wanted["item"].to_list()
        assert [score for _, score in found] == pytest.approx(wanted["score"].to_list(), abs=1e-3)


@pytest.fixture(scope="module")
def tiger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("ids"), recommender(TIGER))


def test_a_table_holds_the_same(tiger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ids.json", "ids.parquet"):
        main(["export-ids", str(tiger), "--output", name])
        assert f"wrote the identifiers of 140 items to {name}" in capsys.readouterr().out
    told, table = json.loads(Path("ids.json").read_text()), pl.read_parquet("ids.parquet")
    items = told.pop("items")
    assert json.loads(pq.read_metadata("ids.parquet").metadata[b"genrec"]) == told
    assert {row.pop("item"): row for row in table.iter_rows(named=True)} == items
    served = load(tiger)
    identifier: Any = served.model.identifier
    for row in (0, 77):
        fields = items[served.catalog.keys[row]]
        assert fields["ids"] == identifier.names.codes[row].tolist()
        assert fields["tokens"] == [told["new_tokens"][number - told["words"]] for number in fields["ids"]]
        assert "".join(fields["tokens"]).replace(" ", "") in identifier.describe(row).replace(" ", "")


def test_words_are_spelled_and_a_free_search_is_none(tmp_path: Path) -> None:
    served = load(make_run(tmp_path, recommender(BIGREC)))
    about, items = identifiers(served)
    assert about["search"] is None
    identifier: Any = served.model.identifier
    tokenizer = identifier.names.backbone.tokenizer
    assert items["tokens"][5].to_list() == tokenizer.convert_ids_to_tokens(items["ids"][5].to_list())


def test_codes_in_no_order_are_codes(tmp_path: Path) -> None:
    served = load(make_run(tmp_path, recommender(RPG)))
    about, items = identifiers(served)
    assert (about["kind"], about["sizes"]) == ("codes", [8] * 4)
    assert isinstance(served.model.identifier, ItemIdentifier)
    codes, _ = served.model.identifier.item_codes() or pytest.fail("no codes")
    assert items["codes"].to_list() == codes.tolist()


def test_vectors_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    served: Served = load(make_run(tmp_path, recommender(SETREC)))
    with pytest.raises(GenrecError, match="the items of SETRec have neither tokens of a vocabulary nor codes"):
        identifiers(served)


def test_another_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export-ids", "run", "--output", "ids.csv"])
    assert "export-ids writes .json or .parquet, not `ids.csv` (--output)" in capsys.readouterr().err

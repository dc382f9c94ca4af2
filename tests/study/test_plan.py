from __future__ import annotations

import re
from pathlib import Path

import pytest

from genrec.config.files import PACKAGED
from genrec.errors import GenrecError
from genrec.study.plan import BASE, Plan, flags, load_plan, slug

SEARCHES = ("tune_", "fair_")
PACKAGED_STUDIES = [path.name for path in (PACKAGED / "studies").glob("*.yaml")]
STUDIES = sorted(name for name in PACKAGED_STUDIES if not name.startswith(SEARCHES))


def plan(folder: Path, text: str) -> Plan:
    (folder / "mine.yaml").write_text(text)
    return load_plan(str(folder / "mine.yaml"))


@pytest.mark.parametrize("name", STUDIES)
def test_every_packaged_study_is_one(name: str) -> None:
    found = load_plan(name)
    assert found == load_plan(f"studies/{name}")
    assert found.name == Path(name).stem
    assert {cell.seed for cell in found.cells} == {42, 43, 44}


@pytest.mark.parametrize("name", sorted(name for name in STUDIES if re.match("(main|chosen)_toys_.*small", name)))
def test_the_main_table_has_nine_identifiers_and_the_references(name: str) -> None:
    rows = {cell.row for cell in load_plan(name).cells}
    references = ["random", "popularity", "itemknn", "contentknn", "copylast", "sasrec"]
    references += ["copylast_minilm"] if name.startswith("chosen") else []
    assert len(rows) == 9 + len(references)
    assert {f"toys_{name}" for name in references} < rows
    sasrec = next(cell for cell in load_plan(name).cells if cell.row == "toys_sasrec")
    precision = {"trainer.precision": "32-true"} if name.startswith("chosen") else {}
    assert sasrec.keys == {"trainer.max_epochs": 200, **precision}, "one epoch is nothing for it"


def test_the_paper_s_table_has_all_of_them_on_every_data_set() -> None:
    data = {cell.config.stem.split("_")[0] for cell in load_plan("main.yaml").cells}
    assert len(load_plan("main.yaml").cells) == len(data) * 15 * 3


def test_variants_by_name_and_seed(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        "config: synthetic_setrec.yaml\nseeds: [1, 2]\nset: {trainer.max_epochs: 1}\n"
        "variants: {SETRec: , w/o Sem: {model.n: 0}}",
    )
    assert [cell.name for cell in found.cells] == [
        "synthetic_setrec/SETRec/seed1",
        "synthetic_setrec/SETRec/seed2",
        "synthetic_setrec/w-o-Sem/seed1",
        "synthetic_setrec/w-o-Sem/seed2",
    ]
    assert [dict(cell.keys) for cell in found.cells[1:3]] == [{}, {"model.n": 0}]
    assert (found.shared, found.over) == ({"trainer.max_epochs": 1}, None)


def test_a_sweep_is_the_product_of_its_values(tmp_path: Path) -> None:
    found = plan(tmp_path, "config: synthetic_setrec.yaml\nsweep: {a.x: [1, 2], a.y: [3.5, 4]}")
    assert [cell.label for cell in found.cells] == ["x=1,y=3.5", "x=1,y=4", "x=2,y=3.5", "x=2,y=4"]
    assert found.cells[1].keys == {"a.x": 1, "a.y": 4}
    assert found.over is None
    assert plan(tmp_path, "config: synthetic_setrec.yaml\nsweep: {a.x: [1, 2]}").over == "a.x"
    assert plan(tmp_path, "config: synthetic_setrec.yaml\nsweep: {a.x: [{b: 1}, {b: 2}]}").over is None


def test_a_retest_trains_once_per_seed_and_comes_last(tmp_path: Path) -> None:
    found = plan(tmp_path, "config: synthetic_setrec.yaml\nseeds: [1, 2]\nretest: {m.betas: [[0.1], [0.2]]}")
    assert [(cell.label, cell.seed) for cell in found.cells] == [
        (BASE, 1),
        (BASE, 2),
        *((f"betas={beta}", seed) for beta in (0.1, 0.2) for seed in (1, 2)),
    ]
    assert [cell.trained_by for cell in found.cells[2:]] == [found.cells[0], found.cells[1]] * 2
    assert [cell.trained_by for cell in found.cells[:2]] == [None, None]
    assert found.over == "m.betas"


def test_a_retest_with_names(tmp_path: Path) -> None:
    found = plan(tmp_path, "config: synthetic_setrec.yaml\nretest: {w/o text: {a.x: 1, a.y: 2}, all: {}}")
    assert [(cell.label, cell.keys) for cell in found.cells] == [
        (BASE, {}),
        ("w/o text", {"a.x": 1, "a.y": 2}),
        ("all", {}),
    ]
    assert [cell.trained_by for cell in found.cells] == [None, found.cells[0], found.cells[0]]
    assert plan(tmp_path, "config: synthetic_setrec.yaml\nretest: {one: {a.x: 1}}").over is None


def test_a_study_of_ones_own_composes_a_packaged_one(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("compose: [toys_setrec_small.yaml]")
    found = plan(tmp_path, "compose: [studies/ablation_toys_small.yaml]\nconfig: small.yaml\nseeds: [7]")
    assert {cell.config for cell in found.cells} == {tmp_path / "small.yaml"}
    assert len(found.cells) == 5


def test_values_as_arguments() -> None:
    keys = {"a": [0.3], "b": True, "c": None, "d": "word", "e": {"f": 1}}
    assert flags(keys) == ["--a=[0.3]", "--b=true", "--c=null", "--d=word", '--e={"f": 1}']


def test_a_label_as_a_folder() -> None:
    assert slug("w/o Sem") == "w-o-Sem"
    assert slug("../x=0.1,y=[1]") == "..-x=0.1,y=-1"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seeds: [1]", "`config: NAME`"),
        ("config: synthetic_setrec.yaml\nconfigs: [synthetic_setrec.yaml]", "`config: NAME`"),
        ("config: synthetic_setrec.yaml\nsweeps: {a: [1]}", "no key `sweeps`; it may have name, config"),
        ("config: synthetic_setrec.yaml\nsweep: {a: 1}", "a list of values"),
        ("config: synthetic_setrec.yaml\nsweep: {a: [1]}\nvariants: {b: {}}", "`variants` or `sweep`"),
        ("config: synthetic_setrec.yaml\nvariants: {b: 1}", "`variants: b` is a mapping"),
        ("config: synthetic_setrec.yaml\nretest: {b: {c: 1}, d: [1]}", "`retest: d` is a mapping"),
        ("config: synthetic_setrec.yaml\nset: 1", "`set` is a mapping"),
        ("config: synthetic_setrec.yaml\nseeds: many", "`seeds` is a list of numbers"),
        (
            "config: synthetic_setrec.yaml\nseeds: [1, yes]",
            "`seeds`: a seed is a whole number from 0 to 4294967295, not `True`",
        ),
        ("config: synthetic_setrec.yaml\nvariants: {x: {seed_everything: 9}}", "no key sets `seed_everything`"),
        ("config: synthetic_setrec.yaml\nseeds: [1, 1]", "the same name"),
        ("config: synthetic_setrec.yaml\nname: ../x", "name of a study is that of a folder"),
        ("config: synthetic_setrek.yaml", "did you mean synthetic_setrec.yaml"),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(GenrecError, match=complaint):
        plan(tmp_path, text)

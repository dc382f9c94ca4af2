from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml

import genrec
from genrec import Served, load
from genrec.assets import Assets, TfidfText
from genrec.backbones import T5Backbone
from genrec.cli import main
from genrec.data import Dataset, InMemory, SequenceData
from genrec.decoding.code_sums import CodeIndex
from genrec.decoding.vector_index import Kind, VectorIndex
from genrec.errors import GenrecError
from genrec.recommenders import RankingModule
from genrec.recommenders.alone import set_up
from genrec.recommenders.recommender import Recommender
from genrec.types import PAD, Ranking

from ..identifiers.slots import Slots
from ..served import DREAMREC, E4SREC, SETREC, T5, TIGER, make_run, recommender

README = Path(__file__).resolve().parents[2] / "README.md"
EXACT = {**TIGER, "init_args": {**TIGER["init_args"], "search": {"exact": True}}}
CODES = {**TIGER["init_args"]["codes"], "levels": 4, "size": 4}
NARROW = {**TIGER, "init_args": {"codes": CODES, "search": {"beams": 1}}}
KINDS: tuple[Kind, ...] = ("ivf", "hnsw", "ivf_pq")
REFERENCES = (
    "genrec.recommenders.references.Popularity",
    "genrec.recommenders.references.ItemKNN",
    "genrec.recommenders.sasrec.SASRec",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("serving"), recommender(SETREC))


@pytest.fixture
def served(run: Path) -> Served:
    return load(run)


def expected(model: RankingModule, history: list[int], k: int) -> tuple[list[int], list[float]]:
    """What the module itself ranks for one user."""
    rows = torch.tensor([history[-8:] or [PAD]])
    with torch.no_grad():
        ranking = model.rank(rows, k, torch.ones(1, len(model.dataset.catalog), dtype=torch.bool))
    return ranking.items[0, 0].tolist(), ranking.scores[0, 0].tolist()


def test_importing_genrec_imports_no_torch() -> None:
    code = "import sys, genrec; assert 'load' in genrec.__all__ and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_has_no_other_attributes() -> None:
    with pytest.raises(AttributeError, match="has no attribute `lod`"):
        _ = genrec.lod


def test_the_readme_python_runs(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With this run in the place of one on Toys, and its items."""
    monkeypatch.chdir(tmp_path)
    _, code = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    items = load(run).catalog.items["item"].to_list()
    for theirs, ours in {"runs/toys_setrec_small": str(run), "B004S8F7QM": items[3], "B0039S7NO6": items[7]}.items():
        assert theirs in code
        code = code.replace(theirs, ours)
    names: dict[str, Any] = {}
    exec(code, names)
    assert genrec.from_pretrained("my_recommender").catalog.items.equals(names["served"].catalog.items)


def test_a_ranking_from_a_file_answers_nobody_else(tmp_path: Path) -> None:
    given = {"class_path": "genrec.recommenders.GivenRanking", "init_args": {"path": "best.csv", "name": "Theirs"}}
    run = make_run(tmp_path, {"class_path": REFERENCES[0], "init_args": {}})
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "model": given}))
    with pytest.raises(GenrecError, match=r"^Theirs is a ranking from a file, and knows nothing of histories"):
        load(run)


def test_the_best_checkpoint_is_restored_and_nothing_is_written(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(path for path in run.parents[2].rglob("*") if path.suffix != ".lock")
    served = load(run)
    weights = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, weights[name]) for name, value in served.model.state_dict().items())
    assert not served.model.training
    assert served.catalog is served.dataset.catalog
    assert capsys.readouterr().out == ""
    assert sorted(path for path in run.parents[2].rglob("*") if path.suffix != ".lock") == before
    assert list(tmp_path.iterdir()) == []


def test_a_run_finds_its_assets_from_anywhere_whatever_the_seed_is_by_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "there", recommender(TIGER))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PL_GLOBAL_SEED", "9")
    capsys.readouterr()
    served = load(run)
    assert "building" not in "".join(capsys.readouterr())
    (codes,) = (tmp_path / "there" / "data" / "assets").glob("codes-rqvae-*/manifest.json")
    assert json.loads(codes.read_text())["fingerprint"]["training"]["seed"] == 0, "that of the run"
    served.save_pretrained("saved")
    assert json.loads(Path("saved/recommender.json").read_text())["assets"]["seed"] == 0
    kept = load("saved").model
    assert isinstance(kept, Recommender)
    assert kept.assets.store.seed == 0


def test_it_ranks_on_the_device_that_is_named(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(run).save_pretrained(tmp_path / "saved")
    moved: list[object] = []
    monkeypatch.setattr("genrec.serving.served.usable", lambda name: torch.device("meta") if name == "cuda" else name)
    monkeypatch.setattr(RankingModule, "to", lambda self, device: moved.append(device))
    for of in (lambda: load(run, device="cuda"), lambda: load(tmp_path / "saved", device="cuda")):
        of()
    genrec.from_pretrained(tmp_path / "saved", device="cuda")
    assert moved == [torch.device("meta")] * 3


def test_the_newest_run_of_a_folder(run: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs" / "made_up"
    for number, stamp in enumerate(("b", "a")):
        for path in run.rglob("*"):
            if path.is_file():
                copy = runs / stamp / path.relative_to(run)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
                os.utime(copy, (number, number))
    (runs / "b" / "config.yaml").write_text("broken: [")
    (runs / "z").mkdir()
    assert load(runs).catalog.keys == load(runs / "a").catalog.keys


@pytest.mark.parametrize("identifier", [SETREC, TIGER, E4SREC], ids=["SETRec", "TIGER", "E4SRec"])
def test_recommends_what_the_module_ranks(identifier: dict[str, Any], tmp_path: Path) -> None:
    served = load(make_run(tmp_path, recommender(identifier)))
    keys, titles = served.catalog.keys, served.catalog.titles
    histories = [[3, 4, 5], [], list(range(20)), [7]]
    found = served.recommend([[keys[row] for row in history] for history in histories], k=4, repeats=True)
    assert found.columns == ["user", "rank", "item", "title", "score"]
    for user, history in enumerate(histories):
        items, scores = expected(served.model, history, 4)
        mine = found.filter(user=user)
        assert mine["rank"].to_list() == [1, 2, 3, 4]
        assert mine["item"].to_list() == [keys[item] for item in items]
        assert mine["title"].to_list() == [titles[item] for item in items]
        assert mine["score"].to_list() == pytest.approx(scores, abs=1e-4)


def test_a_users_own_items_are_left_out_unless_repeats_are_wanted(served: Served) -> None:
    keys, total = served.catalog.keys, len(served.catalog)
    everything, _ = expected(served.model, [1, 2, 2], total)
    found = served.recommend([[keys[1], keys[2], keys[2]], []], k=total - 2)
    assert found.filter(user=0)["item"].to_list() == [keys[item] for item in everything if item not in (1, 2)]
    assert found.filter(user=1).height == total - 2
    with pytest.raises(GenrecError, match=rf"cannot recommend {total} items of {total}, 2 of which user 1 has taken"):
        served.recommend([[], [keys[1], keys[2]]], k=total)


@pytest.mark.parametrize("identifier", [SETREC, NARROW, EXACT, DREAMREC], ids=["SETRec", "TIGER", "exact", "DreamRec"])
def test_a_list_does_not_depend_on_who_else_is_asked(identifier: dict[str, Any], tmp_path: Path) -> None:
    """Forty users of every length, up to nearly the whole catalogue, together and each alone."""
    served = load(make_run(tmp_path, recommender(identifier)))
    draw = random.Random(0)
    lengths = [130, 40, *(draw.randrange(8) for _ in range(38))]
    histories = [draw.sample(served.catalog.keys, length) for length in lengths]
    together = served.recommend(histories, k=2)
    for user, history in enumerate(histories):
        alone, among = served.recommend([history], k=2), together.filter(user=user)
        assert alone["item"].to_list() == among["item"].to_list(), user
        assert alone["score"].to_list() == pytest.approx(among["score"].to_list(), abs=1e-4)
        assert not set(alone["item"]) & set(history)


def test_batches_are_read_as_they_are_ranked_and_make_the_same_frame(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(0)
    histories = [draw.sample(served.catalog.keys, draw.randrange(12)) for _ in range(70)]
    histories[40].append("gone")
    options: dict[str, Any] = {"k": 3, "allowed": served.catalog.keys[:90], "skip_unknown": True}
    together = served.recommend(histories, **options)
    told = capsys.readouterr().err
    read: list[int] = []
    monkeypatch.setattr("genrec.serving.served.BATCHES", 1)
    batches = served.recommend_batches((read.append(user) or each for user, each in enumerate(histories)), **options)  # type: ignore[func-returns-value]
    first = next(batches)
    assert first["user"].unique(maintain_order=True).to_list() == list(range(16)) == read
    frame = pl.concat([first, *batches])
    assert frame.drop("score").equals(together.drop("score"))
    assert frame["score"].to_list() == pytest.approx(together["score"].to_list(), abs=1e-4)
    assert told == capsys.readouterr().err == "left out 1 unknown items of 1 of 70 histories, such as `gone`\n"


def test_nobody_is_ranked_before_all_histories_were_looked_at(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrec.serving.served.BATCHES", 1)
    monkeypatch.setattr(served.model, "rank", lambda *args: pytest.fail("ranked"))
    keys = served.catalog.keys
    with pytest.raises(GenrecError, match="there is no item `gone`"):
        served.recommend([keys[:2]] * 40 + [["gone"]])
    with pytest.raises(GenrecError, match="3 of which user 39 has taken"):
        served.recommend([[]] * 39 + [keys[:3]], k=138)


def test_a_list_that_is_none_is_not_shown(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    rank = served.model.rank
    monkeypatch.setattr(served.model, "rank", lambda *args: Ranking(*(part[..., :1] for part in rank(*args))))
    with pytest.raises(GenrecError, match=r"SETRec returned items of shape \[1, 4, 1\]"):
        served.recommend([[]], k=3)
    repeated = lambda *args: Ranking(*(part[..., :1].repeat(1, 1, 3) for part in rank(*args)))  # noqa: E731
    monkeypatch.setattr(served.model, "rank", repeated)
    with pytest.raises(GenrecError, match="SETRec recommends items that are in a list twice"):
        served.recommend([[]], k=3)


@pytest.mark.parametrize("histories", ["m1", ["m1", "m7"], [[], "m7"], [[1, 7]]])
def test_a_text_is_no_history(served: Served, histories: Any) -> None:
    with pytest.raises(GenrecError, match=r'list of histories, each a list of item keys.*: \[\["m1", "m7"\]\]'):
        served.recommend(histories)
    with pytest.raises(GenrecError, match=r'allowed as one such list: \["m1", "m7"\]'):
        served.recommend([[]], allowed="m1")


WRONG: dict[str, tuple[Callable[[Served], object], str]] = {
    "no histories": (lambda served: served.recommend(None), "list of histories"),  # type: ignore[arg-type]
    "a number of histories": (lambda served: served.recommend(3), "list of histories"),  # type: ignore[arg-type]
    "a mapping": (lambda served: served.recommend({"m1": 1}), "list of histories"),  # type: ignore[arg-type]
    "no history": (lambda served: served.recommend([None]), "list of histories"),  # type: ignore[list-item]
    "k is a text": (lambda served: served.recommend([[]], k="5"), "not '5'"),  # type: ignore[arg-type]
    "k is a truth": (lambda served: served.recommend([[]], k=True), "not True"),
    "k is half": (lambda served: served.recommend([[]], k=2.5), "not 2.5"),  # type: ignore[arg-type]
    "allowed is a number": (lambda served: served.recommend([[]], allowed=1), "one such list"),  # type: ignore[arg-type]
    "items are a mapping": (lambda served: served.add_items({}), "polars DataFrame"),  # type: ignore[arg-type]
    "no items": (lambda served: served.add_items(None), "polars DataFrame"),  # type: ignore[arg-type]
    "no batches": (lambda served: served.recommend_batches("m1"), "list of histories"),  # type: ignore[arg-type]
    "another device": (lambda served: served.to("gpu"), "there is no device 'gpu' here, such as cpu or cuda"),
    "no device": (lambda served: load("x", device="cuda:77"), "there is no device 'cuda:77' here"),
    "a device that holds nothing": (lambda served: served.to("meta"), "there is no device 'meta' here"),
    "no path": (lambda served: load(None), "as a text or a path, not None"),  # type: ignore[arg-type]
    "a number for a path": (lambda served: genrec.from_pretrained(3), "not 3"),  # type: ignore[arg-type]
    "half a path": (lambda served: load("a\0b"), "as a text or a path"),
    "an index of nothing": (lambda served: served.build_index("ivf", k=0), "k at least 1"),
    "another index": (lambda served: served.build_index("best"), "exact, ivf, hnsw or ivf_pq, k at least 1"),  # type: ignore[arg-type]
    "no recall": (lambda served: served.build_index("ivf", recall=0), "recall above 0"),
    "the working folder": (lambda served: served.save_pretrained("."), "give the name of a new folder"),
    "above it": (lambda served: served.save_pretrained(".."), "give the name of a new folder"),
    "no folder": (lambda served: served.save_pretrained(None), "not None"),  # type: ignore[arg-type]
    "half a folder": (lambda served: served.save_pretrained("a\0b"), "as a text or a path"),
    "half a character": (lambda served: served.save_pretrained("a\udcff"), "as a text or a path"),
    "half a key": (lambda served: served.recommend([["a\udcff"]]), "there is no item"),
    "more than there are": (lambda served: served.recommend([[]], k=10**30), "ask for a smaller k"),
    "no name": (lambda served: genrec.from_pretrained(""), "holds no recommender.json"),
    "everything": (lambda served: served.save_pretrained("/"), "give the name of a new folder"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str, served: Served) -> None:
    call, message = WRONG[name]
    with pytest.raises(GenrecError, match=re.escape(message)) as caught:
        call(served)
    assert "\n" not in str(caught.value)


def test_unknown_items_are_left_out_and_said(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    keys = served.catalog.keys
    found = served.recommend([[keys[1], "gone"], [keys[2]], ["gone", "too"]], k=3, skip_unknown=True)
    expected = served.recommend([[keys[1]], [keys[2]], []], k=3)
    assert found.equals(expected)
    assert capsys.readouterr().err == "left out 3 unknown items of 2 of 3 histories, such as `gone`\n"
    assert served.known([["a\udcff", keys[3]]]) == [[keys[3]]]


def test_only_allowed_items(served: Served) -> None:
    keys = served.catalog.keys
    everything, _ = expected(served.model, [1, 2], len(keys))
    allowed = keys[2:9]
    found = served.recommend([[keys[1], keys[2]]], k=5, allowed=allowed)
    best = [keys[item] for item in everything if item != 2 and keys[item] in allowed]
    assert found["item"].to_list() == best[:5]
    with pytest.raises(GenrecError, match="cannot recommend 8 items of 7: ask for a smaller k, or allow more items"):
        served.recommend([[]], k=8, allowed=allowed)
    with pytest.raises(GenrecError, match="k is the number of items per user, at least 1, not 0"):
        served.recommend([[]], k=0)


def test_no_users_get_no_recommendations(served: Served) -> None:
    assert served.recommend([], k=3).height == 0


def test_an_unknown_item_is_named_with_similar_ones(served: Served) -> None:
    key, title = served.catalog.keys[5], served.catalog.titles[5]
    for wrong in (key + "x", title.upper()):
        offered = rf"there is no item `{re.escape(wrong)}` in the catalogue; did you mean .*`{re.escape(key)}` \("
        with pytest.raises(GenrecError, match=offered):
            served.recommend([[key], [wrong]])
    with pytest.raises(GenrecError, match="no item `§` in the catalogue: items are given by their keys"):
        served.recommend([["§"]])


def test_new_items_can_be_read_and_recommended(served: Served) -> None:
    key, title = served.catalog.keys[5], served.catalog.titles[5]
    served.build_index("exact")
    served.add_items(pl.DataFrame({"item": ["new"], "title": [title]}))
    assert served.catalog.keys[-1] == "new"
    assert served.recommend([["new", key]], k=3).height == 3
    assert served.recommend([[]], k=1, allowed=["new"])["title"].to_list() == [title]
    with pytest.raises(GenrecError, match="the item `new` is in the catalogue already"):
        served.add_items(pl.DataFrame({"item": ["new"]}))


@pytest.mark.parametrize("identifier", [SETREC, E4SREC, DREAMREC], ids=["SETRec", "E4SRec", "DreamRec"])
def test_an_index_finds_what_scoring_every_item_finds(identifier: dict[str, Any], tmp_path: Path) -> None:
    served = load(make_run(tmp_path, recommender(identifier)))
    histories = [served.catalog.keys[start : start + 3] for start in range(0, 60, 3)]
    options: dict[str, Any] = {"k": 6, "allowed": served.catalog.keys[:90]}
    scored = served.recommend(histories, **options)
    assert served.build_index("exact") == 1.0
    assert served.recommend(histories, **options)["item"].to_list() == scored["item"].to_list()
    for kind in KINDS:
        share = served.build_index(kind, k=6, recall=0.8)
        found = served.recommend(histories, **options)
        same = sum(len(set(a) & set(b)) for a, b in zip(_by_user(found), _by_user(scored), strict=True))
        assert 0.6 <= share <= 1
        assert same / len(scored) >= 0.6
        assert isinstance(served.index, VectorIndex)
        assert served.index.effort < served.index.structure.most, "not everything is compared"  # type: ignore[union-attr]


def test_an_index_of_codes_finds_what_the_method_finds(dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Recommender(Slots(), T5Backbone(sizes=dict(T5)), Assets(text=TfidfText(dim=8), root=str(tmp_path)), ks=[1])
    data = SequenceData(InMemory(dataset), batch_size=8)
    set_up(model, data)
    served = Served(model, data, {})
    histories = [served.catalog.keys[start : start + 3] for start in range(10)]
    options: dict[str, Any] = {"k": 6, "allowed": served.catalog.keys[:10]}
    scored = served.recommend(histories, **options)
    assert served.build_index("exact") == 1.0
    assert isinstance(served.index, CodeIndex)
    assert served.recommend(histories, **options).equals(scored)
    served.add_items(pl.DataFrame({"item": ["new"], "title": ["red train number 3"]}))
    assert len(served.index) == 13
    found = served.recommend([["new"]], k=12)
    served.index = None
    assert found.equals(served.recommend([["new"]], k=12))
    with pytest.raises(GenrecError, match=r"Slots scores an item by a sum over its codes.*give `exact`"):
        served.build_index("ivf")


def _by_user(frame: pl.DataFrame) -> list[list[str]]:
    return frame.group_by("user", maintain_order=True).agg("item")["item"].to_list()


@pytest.mark.parametrize("class_path", REFERENCES)
def test_references(class_path: str, tmp_path: Path) -> None:
    served = load(make_run(tmp_path, {"class_path": class_path}))
    keys = served.catalog.keys
    items, _ = expected(served.model, [3, 4], 5)
    found = served.recommend([[keys[3], keys[4]]], k=5, repeats=True)
    assert found["item"].to_list() == [keys[item] for item in items]
    name = class_path.rpartition(".")[2]
    with pytest.raises(GenrecError, match=f"{name} knows nothing of items that it was not trained on"):
        served.add_items(pl.DataFrame({"item": ["new"]}))
    with pytest.raises(GenrecError, match=f"{name} ranks items neither by one inner product"):
        served.build_index()


def test_a_reference_is_loaded_from_its_test_with_the_config_that_it_was_tested_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = ["--data.source.init_args.users=150", "--data.source.init_args.items=140"]
    main(["test", "--config", "synthetic_itemknn.yaml", *sizes, "--trainer.enable_progress_bar=false"])
    monkeypatch.chdir("/")
    served = load(tmp_path / "runs" / "synthetic_itemknn")
    assert len(served.catalog) == 140
    assert served.recommend([served.catalog.keys[:2]], k=3).height == 3


def test_what_cannot_be_loaded(run: Path, tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match=r"there is no trained recommender in `.*nowhere`"):
        load(tmp_path / "nowhere")
    broken = tmp_path / "runs" / "made_up" / "broken"
    (broken / "checkpoints").mkdir(parents=True)
    (broken / "checkpoints" / "best.ckpt").write_bytes(b"PK\x03\x04")
    config = (run / "config.yaml").read_text()
    (broken / "config.yaml").write_text(config)
    with pytest.raises(GenrecError, match=r"best.ckpt` is not a checkpoint, or not a whole one"):
        load(broken)
    (broken / "checkpoints" / "best.ckpt").write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    (broken / "config.yaml").write_text(config.replace("n_semantic: 2", "n_semantic: 3"))
    with pytest.raises(GenrecError, match=r"best.ckpt` was made with other settings"):
        load(broken)
    (broken / "config.yaml").write_text(config.replace("n_semantic", "n_semantc"))
    with pytest.raises(GenrecError, match=r"unknown config key .*did you mean `n_semantic`"):
        load(broken)

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from genrec import Served, from_pretrained, load
from genrec.assets import ItemAssets, RQVAECodes
from genrec.backbones import Backbone, T5Backbone
from genrec.backbones.words import load_tokenizer
from genrec.data import Catalog
from genrec.data.origin import ENTRY
from genrec.errors import GenrecError
from genrec.identifiers import NewToken, TokenSequence
from genrec.recommenders.recommender import Recommender
from genrec_baselines.numbering import code_tokens, number_equals

from ..data.server import running
from ..hub import TOKEN, HubServer, visit
from ..served import BIGREC, E4SREC, LORA_BACKBONE, QWEN, SETREC, T5, TIGER, make_run, recommender

IDGENREC = {"class_path": "genrec_baselines.IDGenRec"}
GROUNDED = {**BIGREC, "init_args": {**BIGREC["init_args"], "grounding": "backbone"}}
REFERENCES = (
    "genrec.recommenders.references.Popularity",
    "genrec.recommenders.references.ItemKNN",
    "genrec.recommenders.content.ContentKNN",
    "genrec.recommenders.sasrec.SASRec",
)
MODELS = {
    "SETRec": recommender(SETREC),
    "SETRec, LoRA": recommender(SETREC, LORA_BACKBONE),
    "TIGER": recommender(TIGER),
    "BIGRec": recommender(BIGREC),
    "BIGRec, backbone": recommender(GROUNDED),
    "BIGRec, LoRA": recommender(GROUNDED, LORA_BACKBONE),
    "E4SRec": recommender(E4SREC),
    "IDGenRec, LoRA": recommender(IDGENREC, LORA_BACKBONE),
}
NEW = pl.DataFrame(
    {
        "item": ["new-1", "new-2"],
        "title": ["Halden Ember Chef Knife 9", None],
        "categories": [["Kitchen", "Knives"], None],
    }
)


def best(served: Served, k: int = 8) -> pl.DataFrame:
    keys = served.catalog.keys
    return served.recommend([keys[:3], [], keys[40:60], keys[-2:]], k=k)


def assert_same(one: pl.DataFrame, other: pl.DataFrame) -> None:
    assert one["item"].to_list() == other["item"].to_list()
    assert one["title"].to_list() == other["title"].to_list()
    assert one["score"].to_list() == pytest.approx(other["score"].to_list(), abs=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_recommender_is_the_same_without_data_and_run(name: str, tmp_path: Path) -> None:
    served = load(make_run(tmp_path, MODELS[name]))
    before, catalog = best(served), served.catalog
    served.save_pretrained(tmp_path / "saved")
    served.add_items(NEW)
    for folder in ("runs", "data"):
        shutil.rmtree(tmp_path / folder)
    (tmp_path / "saved").rename(tmp_path / "elsewhere")
    again = from_pretrained(tmp_path / "elsewhere")
    assert_same(best(again), before)
    assert again.catalog.items.equals(catalog.items)

    again.add_items(NEW)
    assert_same(best(again), best(served))

    # With items that came later, one that is only read, and saved by what was itself loaded.
    reads = again.model.identifier is None or again.model.identifier.reads_text
    for one in (served, again):
        one.add_items(NEW[:1].with_columns(item=pl.lit("elsewhere")), recommend=not reads)
    again.save_pretrained(tmp_path / "third")
    third = load(tmp_path / "third")
    assert third.catalog.keys[-3:] == ["new-1", "new-2", "elsewhere"]
    assert third.model.candidates[-3:].tolist() == [True, True, not reads]
    assert_same(best(third), best(served))
    if not reads:
        with pytest.raises(GenrecError, match="reads no text"):
            third.add_items(NEW.with_columns(item="x" + pl.col("item")), recommend=False)


class Twice(TokenSequence):
    """Coarse codes, fine codes and a number: two recipes of one name."""

    def __init__(self, coarse: RQVAECodes, fine: RQVAECodes) -> None:
        super().__init__()
        self.recipes = [coarse, fine]

    def new_tokens(self, catalog: Catalog, assets: ItemAssets) -> list[NewToken]:
        self.sizes = [recipe.size for recipe in self.recipes for _ in range(recipe.levels)] + [128]
        return code_tokens(self.sizes)

    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        codes = np.column_stack([assets.codes(recipe) for recipe in self.recipes])
        first = np.cumsum([0, *self.sizes[:-1]])
        return (np.column_stack([codes, number_equals(codes)]) + first + self.names.words)[len(known) :]


class Sides(TokenSequence):
    """On which side of zero the numbers of the source `words` lie, and a number."""

    def new_tokens(self, catalog: Catalog, assets: ItemAssets) -> list[NewToken]:
        return code_tokens([2, 2, 128])

    def name_items(self, catalog: Catalog, assets: ItemAssets, known: np.ndarray) -> np.ndarray:
        sides = (assets.source("words") > 0)[:, :2].long().numpy()
        return (np.column_stack([sides, number_equals(sides)]) + np.array([0, 2, 4]) + self.names.words)[len(known) :]


def test_a_source_of_any_name_comes_along(tmp_path: Path) -> None:
    sources = {"words": {"class_path": "genrec.assets.TfidfText", "init_args": {"dim": 3}}}
    run = make_run(tmp_path, recommender({"class_path": f"{__name__}.Sides"}), {"sources": sources})
    served = load(run)
    before = best(served)
    served.save_pretrained(tmp_path / "saved")
    served.add_items(NEW)
    shutil.rmtree(tmp_path / "data")
    again = from_pretrained(tmp_path / "saved")
    assert_same(best(again), before)
    again.add_items(NEW)
    assert_same(best(again), best(served))


def test_two_recipes_of_one_name_stay_two(tmp_path: Path) -> None:
    quick = {"dim": 4, "training": {"steps": 5}}
    sizes = {"coarse": {"levels": 1, "size": 4, **quick}, "fine": {"levels": 2, "size": 8, **quick}}
    run = make_run(tmp_path, recommender({"class_path": f"{__name__}.Twice", "init_args": sizes}))
    served = load(run)
    before = best(served)
    kept = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)[ENTRY]["assets"]
    assert len([key for key in kept if key.startswith("codes-rqvae-")]) == len(set(kept.values())) - 1 == 2
    served.save_pretrained(tmp_path / "saved")
    again = from_pretrained(tmp_path / "saved")
    assert_same(best(again), before)
    # Items that come later are named after both, too.
    for one in (served, again):
        one.add_items(NEW)
    assert isinstance(again.model, Recommender)
    assert isinstance(served.model, Recommender)
    assert torch.equal(again.model.identifier.names.codes, served.model.identifier.names.codes)
    assert_same(best(again), best(served))


@pytest.mark.parametrize("class_path", REFERENCES)
def test_references(class_path: str, tmp_path: Path) -> None:
    served = load(make_run(tmp_path, {"class_path": class_path}))
    served.save_pretrained(tmp_path / "saved")
    shutil.rmtree(tmp_path / "runs")
    assert_same(best(from_pretrained(tmp_path / "saved")), best(served))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saving")
    load(make_run(folder, MODELS["SETRec"])).save_pretrained(folder / "saved")
    return folder / "saved"


def test_no_pickle_and_no_user(saved: Path) -> None:
    files = sorted(str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file())
    assert {Path(file).suffix for file in files} == {".json", ".parquet", ".safetensors"}
    assert {"recommender.json", "items.parquet", "model.safetensors"} < set(files)
    assert [file.rpartition("-")[0] for file in files if file.startswith("assets/")] == [
        "assets/cf-sasrec-8",
        "assets/text-tfidf-8",
    ]
    assert [path.name for path in saved.parent.iterdir() if path.name.startswith(".")] == []
    again = from_pretrained(saved)
    assert again.dataset.users == []
    assert len(again.dataset.train) == 0
    assert again.dataset.warm.tolist() == (pl.read_parquet(saved / "items.parquet")["count"] > 0).to_list()


def test_shared_weights_are_written_once(saved: Path) -> None:
    names = set(load_file(saved / "model.safetensors"))
    tied = {f"backbone.t5.{name}.weight" for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens")}
    assert len(names & tied) == 1
    assert tied <= set(from_pretrained(saved).model.state_dict())


def test_an_older_folder_is_renamed(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    from_pretrained(saved).save_pretrained(tmp_path / "mine")
    assert (tmp_path / "mine.1" / "thesis.txt").read_text() == "precious"
    assert (tmp_path / "mine" / "recommender.json").is_file()


def test_a_pretrained_language_model_that_learned_comes_along(tmp_path: Path) -> None:
    first = load(make_run(tmp_path / "small", MODELS["SETRec"])).model
    base: Any = first.backbone
    base.t5.save_pretrained(tmp_path / "base")
    base.tokenizer.save_pretrained(tmp_path / "base")
    backbone = {"class_path": "genrec.backbones.T5Backbone", "init_args": {"pretrained": str(tmp_path / "base")}}
    served = load(make_run(tmp_path / "large", recommender(TIGER, backbone)))
    before = best(served)
    served.save_pretrained(tmp_path / "saved")
    shutil.rmtree(tmp_path / "base")
    assert not any(name.startswith("backbone.t5") for name in load_file(tmp_path / "saved" / "model.safetensors"))
    assert_same(best(from_pretrained(tmp_path / "saved")), before)
    assert base.width == T5["d_model"]


class Plain(T5Backbone):
    """A language model as others may write it, which says nothing of what it saves."""

    save, brings = Backbone.save, Backbone.brings  # type: ignore[assignment]


def test_a_backbone_that_says_nothing_is_saved_whole(tmp_path: Path) -> None:
    backbone = {"class_path": f"{__name__}.Plain", "init_args": {"sizes": T5}}
    served = load(make_run(tmp_path, recommender(SETREC, backbone)))
    before = best(served)
    served.save_pretrained(tmp_path / "saved")
    for folder in ("runs", "data"):
        shutil.rmtree(tmp_path / folder)
    assert {path.name for path in (tmp_path / "saved").iterdir() if path.is_dir()} == {"assets"}
    assert_same(best(from_pretrained(tmp_path / "saved")), before)


class Kept(T5Backbone):
    """One with a file and an argument of its own; what it had before is not needed any more."""

    def __init__(self, sizes: dict[str, Any], vocabulary: str | None = None, made_of: str | None = None) -> None:
        super().__init__(sizes=sizes)
        self.vocabulary = vocabulary

    def setup(self, texts: Sequence[str], whole: Sequence[str] = ()) -> None:
        if self.vocabulary:
            self.tokenizer_name = self.vocabulary
        super().setup([*texts, "words of the training alone"] if self.vocabulary is None else [], whole)

    def save(self, folder: Path) -> dict[str, str | None]:
        self.tokenizer.save_pretrained(str(folder / "words"))
        return {"vocabulary": "words", "made_of": None}


def test_a_backbone_says_itself_what_it_saves(tmp_path: Path) -> None:
    backbone = {"class_path": f"{__name__}.Kept", "init_args": {"sizes": T5, "made_of": "something"}}
    served = load(make_run(tmp_path, recommender(SETREC, backbone)))
    served.save_pretrained(tmp_path / "saved")
    again = from_pretrained(tmp_path / "saved")
    assert_same(best(again), best(served))
    again.save_pretrained(tmp_path / "third")
    about = json.loads((tmp_path / "third" / "recommender.json").read_text())
    assert about["folders"] == {"vocabulary": "words"}
    assert about["model"]["init_args"]["backbone"]["init_args"] == {"sizes": T5, "vocabulary": "words"}
    assert_same(best(from_pretrained(tmp_path / "third")), best(served))


def test_adapters_come_along_and_their_language_model_is_named(tmp_path: Path) -> None:
    whole = Qwen2ForCausalLM(Qwen2Config(vocab_size=400, **QWEN))
    whole.save_pretrained(tmp_path / "base")
    load_tokenizer(None, ["red train"]).save_pretrained(tmp_path / "base")
    options = {**LORA_BACKBONE["init_args"], "sizes": None, "pretrained": str(tmp_path / "base")}
    run = make_run(tmp_path, recommender(SETREC, {**LORA_BACKBONE, "init_args": options}))
    served = load(run)
    kept = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    adapters = [name for name in kept if "lora" in name]
    assert adapters
    assert all(torch.equal(served.model.state_dict()[name], kept[name]) for name in adapters)
    served.save_pretrained(tmp_path / "saved")
    assert set(load_file(tmp_path / "saved" / "model.safetensors")) == set(kept)
    assert_same(best(from_pretrained(tmp_path / "saved")), best(served))


def test_an_index_over_a_saved_recommender(saved: Path) -> None:
    again = from_pretrained(saved)
    before = best(again)
    assert 0 < again.build_index("ivf", k=8) <= 1
    again.build_index("exact")
    assert_same(best(again), before)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with running(HubServer()) as server:
        visit(server, tmp_path / "cache", monkeypatch)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def test_the_hub(saved: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    served = from_pretrained(saved)
    served.push_to_hub("someone/toys")
    assert "recommender.json" in hub.repositories["someone/toys"]
    assert_same(best(from_pretrained("someone/toys")), best(served))
    with pytest.raises(GenrecError, match=r"^`someone/boys` is no folder, and cannot be fetched .*404"):
        from_pretrained("someone/boys")

    monkeypatch.setenv("HF_TOKEN", "hf_of_another")
    with pytest.raises(GenrecError, match=r"^cannot put `someone/toys` on the Hugging Face hub .*401.*`hf auth login`"):
        served.push_to_hub("someone/toys")


def test_without_a_connection(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for wrong in ("someone/there-is-no-such-thing", "a name that the hub does not allow"):
        with pytest.raises(GenrecError, match="cannot be fetched from the Hugging Face hub") as caught:
            from_pretrained(wrong)
        assert "\n" not in str(caught.value)
    with pytest.raises(GenrecError, match="cannot put `someone/toys` on the Hugging Face hub") as caught:
        from_pretrained(saved).push_to_hub("someone/toys")
    assert "\n" not in str(caught.value)


def test_what_is_not_whole(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match=r"holds no recommender\.json"):
        from_pretrained(tmp_path)
    text = next((saved / "assets").glob("text-tfidf-8-*")).name
    for name in ("model.safetensors", "items.parquet", f"assets/{text}"):
        folder = tmp_path / name.replace("/", "-")
        shutil.copytree(saved, folder)
        (folder / name).write_bytes((saved / name).read_bytes()[:50])
        with pytest.raises(GenrecError, match=f"{name}` is missing or damaged"):
            from_pretrained(folder)
        (folder / name).unlink()
        with pytest.raises(GenrecError, match=f"{name}` is missing"):
            from_pretrained(folder)
    about = json.loads((saved / "recommender.json").read_text())
    for text, complaint in (("{", "damaged"), (json.dumps({**about, "format": 2}), "has format 2")):
        (folder / "recommender.json").write_text(text)
        with pytest.raises(GenrecError, match=complaint):
            from_pretrained(folder)

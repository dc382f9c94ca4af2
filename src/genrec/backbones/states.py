"""A language model's own states as text embeddings: the mean over the words of a field, then over an item's fields.

As SETRec's release makes them for Qwen (github.com/Linxyhaha/SETRec, ``data/extract_item_semantic_rep_qwen.py``), where
a field that is empty counts as a full stop, and fields are cut after 2,000 letters. Here it is left out, and nothing is
cut but by the number of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from genrec import devices
from genrec.assets.recipe import InShards, TextAsset, hash_arrays
from genrec.assets.text import BATCHES, hash_model
from genrec.data import Catalog, Dataset
from genrec.errors import at_least
from genrec.io.bounds import lifted
from genrec.io.progress import in_parts


@dataclass(frozen=True)
class StatesText(TextAsset, InShards):
    """Mean last states of a decoder-only language model, as they are: of no particular length.

    Args:
        pretrained: name or folder of the model, as of `CausalBackbone`.
        max_tokens: of a field; the rest is not read.
        batch_size: fields that are read together.
        dtype: the numbers of the model's weights.
        gguf_file: the file of the folder that holds the weights, where they are in this format.
    """

    pretrained: str
    max_tokens: int = 2048
    batch_size: int = 16
    dtype: Literal["float32", "bfloat16"] = "float32"
    gguf_file: str | None = None

    def __post_init__(self) -> None:
        at_least(1, "StatesText", max_tokens=self.max_tokens, batch_size=self.batch_size)

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return f"text-states-{Path(self.pretrained).name}"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`; a model in a folder counts by its files, not by where it lies."""
        folder = Path(self.pretrained)
        return {
            "model": hash_model(folder) if folder.is_dir() else self.pretrained,
            "gguf_file": self.gguf_file,
            "dtype": self.dtype,
            "max_tokens": self.max_tokens,
            "texts": dataset.catalog.text_hash,
            # Where one field ends and the next begins counts.
            "fields": hash_arrays(*dataset.catalog.field_lengths()),
        }

    def order(self, dataset: Dataset) -> np.ndarray:
        """See `InShards.order`: texts of a length together, so that little is padded."""
        return np.argsort(-dataset.catalog.text_lengths(), kind="stable")

    def embed(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        """See `InShards.embed`.

        Raises:
            GenrecError: if the model cannot be had.
        """
        return self._means(dataset.catalog.fields(rows))

    def release(self) -> None:
        """See `InShards.release`: the backbone has a model of its own."""
        _load.cache_clear()

    def encode(self, texts: list[str], built: dict[str, np.ndarray]) -> np.ndarray:
        """See `TextAsset.encode`: each text is one field.

        Raises:
            GenrecError: if the model cannot be had.
        """
        parts = in_parts(texts, BATCHES * self.batch_size)
        return np.concatenate([self._means([[text] for text in part]) for part in parts])

    def added(self, catalog: Catalog, dataset: Dataset, built: dict[str, np.ndarray]) -> np.ndarray:
        """See `EmbeddingAsset.added`: the embeddings of their fields."""
        return self._means(catalog.fields(np.arange(len(dataset.catalog), len(catalog))))

    @torch.no_grad()
    def _means(self, items: list[list[str]]) -> np.ndarray:
        """Embeddings float32 [n, D] of items, each a list of fields; one without any is read as an empty text."""
        encoder = _load(self.pretrained, self.dtype, self.gguf_file)
        fields = list(chain.from_iterable(texts or [""] for texts in items))
        owners = np.repeat(np.arange(len(items)), [len(texts) or 1 for texts in items])
        read = [encoder.tokenizer(text, truncation=True, max_length=self.max_tokens)["input_ids"] for text in fields]
        ids = [torch.tensor(row or [encoder.blank]) for row in read]
        table = np.zeros((len(items), encoder.language_model.config.hidden_size), np.float32)
        order = sorted(range(len(ids)), key=lambda field: -len(ids[field]))
        for first in range(0, len(order), self.batch_size):
            part = order[first : first + self.batch_size]
            mask = pad_sequence([torch.ones_like(ids[field], dtype=torch.bool) for field in part], batch_first=True)
            padded = pad_sequence([ids[field] for field in part], batch_first=True)
            mask = mask.to(encoder.device)
            states = encoder.states(padded.to(encoder.device), mask).float()
            means = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            np.add.at(table, owners[part], means.cpu().numpy())
        return table / np.bincount(owners, minlength=len(items))[:, None].astype(np.float32)


# No type of another package is named here, even for type checkers alone: who reads the types of the class above, as the
# parser of configs does, would import it.
@lru_cache(maxsize=1)
def _load(pretrained: str, dtype: Literal["float32", "bfloat16"], gguf_file: str | None) -> Any:
    """The model as an encoder of texts, kept for those who encode again and again."""
    from genrec.backbones.causal import CausalBackbone

    with lifted():
        backbone = CausalBackbone(pretrained, tuning="frozen", dtype=dtype, gguf_file=gguf_file)
        backbone.setup(())
        backbone.eval().to(devices.gpu() or torch.device("cpu"))
    return backbone.encoder()

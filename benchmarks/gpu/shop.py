"""What is measured on: a made-up data set of the size of Toys, and language models of the real sizes, without a hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import polars as pl
import torch

from genrec.assets import Assets, ReleasedCF, RQVAECodes
from genrec.assets.recipe import EMBEDDINGS, TextAsset
from genrec.backbones import CausalBackbone, LoRA, T5Backbone
from genrec.data import Catalog, Dataset, InMemory, Ragged, Release, SequenceData, Texts
from genrec.identifiers import ItemIdentifier, SETRec
from genrec.recommenders.recommender import Recommender
from genrec.testing import quiet_trainer
from genrec_baselines import TIGER

CF_WIDTH = 64
T5_SMALL = {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_decoder_layers": 6, "num_heads": 8}
QWEN_1_5B = {
    "hidden_size": 1536,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "intermediate_size": 8960,
}
T5_TINY = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 4}
QWEN_TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
}
WORDS = 4000
"""Of which the made-up titles consist."""


@dataclass(frozen=True)
class Size:
    """How large the measured things are; the defaults are those of Toys, `TINY` is for a CPU in a minute."""

    items: int = 11_908
    users: int = 15_635
    ranked: int = 5_559
    batch: int = 512
    packed_batch: int = 64
    warm_up: int = 10
    steps: int = 20
    many: int = 1_000_000
    tiny: bool = False


TINY = Size(items=200, users=100, ranked=30, batch=8, packed_batch=4, warm_up=1, steps=2, many=500, tiny=True)


@dataclass(frozen=True)
class RandomText(TextAsset):
    """Random vectors in place of a sentence encoder's: neither speed nor memory depends on what they say."""

    width: int

    @property
    def name(self) -> str:
        return "text-random"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        return {"items": len(dataset.catalog), "width": self.width}

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        return {EMBEDDINGS: normal(len(dataset.catalog), self.width)}

    def encode(self, texts: list[str], built: dict[str, np.ndarray]) -> np.ndarray:
        return normal(len(texts), self.width)


@dataclass(frozen=True)
class RandomCodes(RQVAECodes):
    """Random codes in place of a quantiser's."""

    @property
    def name(self) -> str:
        return "codes-random"

    def build(self, dataset: Dataset, folder: Path, embeddings: Any) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        return {"codes": rng.integers(self.size, size=(len(dataset.catalog), self.levels))}


def normal(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, columns), dtype=np.float32)


def dataset(size: Size, root: Path | None = None) -> Dataset:
    """The released Toys below `root`, or as many users and items, with histories about as long."""
    if root is not None:
        return Release("toys").load(root)
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(3, 9))) for _ in range(WORDS)]
    titles = [" ".join(row) for row in np.array(words)[rng.integers(WORDS, size=(size.items, 3))].tolist()]
    catalog = Catalog(pl.DataFrame({"item": [str(item) for item in range(size.items)], "title": titles}))
    lengths = np.clip(np.rint(rng.lognormal(1.75, 0.6, size.users)), 2, 500).astype(int)
    # One item in twenty is cold.
    train = Ragged.from_lists([rng.integers(size.items * 19 // 20, size=length).tolist() for length in lengths])
    later = [rng.integers(size.items, size=2).tolist() if user < size.ranked else [] for user in range(size.users)]
    lists = Ragged.from_lists(later)
    users = Texts(str(user) for user in range(size.users))
    return Dataset("toys-like", catalog, users, train, lists, lists, normal(size.items, CF_WIDTH))


def data(source: Dataset, batch: int, **options: Any) -> SequenceData:
    """Batches of a data set, as a fit and a test see them."""
    return SequenceData(InMemory(source), batch_size=batch, rank_batch_size=256, **options)


class T5OnCard(T5Backbone):
    """Random weights are drawn where they are used: a minute less for a billion of them."""

    def setup(self, *args: Any) -> None:
        with torch.device(card()):
            super().setup(*args)


class CausalOnCard(CausalBackbone):
    """See `T5OnCard`."""

    def setup(self, *args: Any) -> None:
        with torch.device(card()):
            super().setup(*args)


def card() -> str:
    """Where everything runs."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def t5(size: Size, **options: Any) -> T5Backbone:
    """A T5 of t5-small's size."""
    return T5OnCard(sizes=dict(T5_TINY if size.tiny else T5_SMALL), **options)


def qwen(size: Size, **options: Any) -> CausalBackbone:
    """A Qwen2 of Qwen2.5-1.5B's size with adapters; its frozen weights are bfloat16 unless told otherwise."""
    sizes = dict(QWEN_TINY if size.tiny else QWEN_1_5B)
    return CausalOnCard(sizes=sizes, **{"tuning": "lora", "lora": LoRA(), "dtype": "bfloat16", **options})


def trainer(**options: Any) -> L.Trainer:
    """One device, where everything runs unless it is said otherwise, and nothing printed or kept."""
    return quiet_trainer(**{"accelerator": "gpu" if card() == "cuda" else "cpu", **options})


def setrec() -> ItemIdentifier:
    """SETRec with five tokens an item."""
    return SETRec()


def tiger() -> ItemIdentifier:
    """TIGER with random codes and 20 beams."""
    return TIGER(codes=RandomCodes())


def recommender(
    identifier: ItemIdentifier, backbone: T5Backbone | CausalBackbone, folder: Path, text: int = 768
) -> Recommender:
    """The whole module, with text vectors of a width; assets are kept in a folder of scratch space."""
    return Recommender(identifier, backbone, Assets(RandomText(text), ReleasedCF(), str(folder)))

"""Numbers per item that are built once and shared: text embeddings, collaborative embeddings."""

from genrec.assets.base import Asset, Assets, CFAsset, ItemAssets, TextAsset
from genrec.assets.cf import ReleasedCF, SASRecCF
from genrec.assets.store import AssetStore
from genrec.assets.text import MiniLMText, SentenceText, TfidfText

__all__ = [
    "Asset",
    "AssetStore",
    "Assets",
    "CFAsset",
    "ItemAssets",
    "MiniLMText",
    "ReleasedCF",
    "SASRecCF",
    "SentenceText",
    "TextAsset",
    "TfidfText",
]

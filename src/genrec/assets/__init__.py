"""Numbers per item that are built once and shared: text embeddings, collaborative embeddings, clusters, codes, tags."""

from genrec.assets.base import Asset, Assets, CFAsset, ItemAssets, ItemCodes, TextAsset
from genrec.assets.cf import ReleasedCF, SASRecCF
from genrec.assets.clusters import CooccurrenceClusters
from genrec.assets.codes import LETTERCodes, RQVAECodes, encode
from genrec.assets.fitting import Training
from genrec.assets.frequency import Frequency
from genrec.assets.generated_tags import GeneratedTags
from genrec.assets.store import AssetStore
from genrec.assets.tags import CatalogTags, ItemTags, KeywordTags
from genrec.assets.text import MiniLMText, SentenceText, TfidfText

__all__ = [
    "Asset",
    "AssetStore",
    "Assets",
    "CFAsset",
    "CatalogTags",
    "CooccurrenceClusters",
    "Frequency",
    "GeneratedTags",
    "ItemAssets",
    "ItemCodes",
    "ItemTags",
    "KeywordTags",
    "LETTERCodes",
    "MiniLMText",
    "RQVAECodes",
    "ReleasedCF",
    "SASRecCF",
    "SentenceText",
    "TextAsset",
    "TfidfText",
    "Training",
    "encode",
]

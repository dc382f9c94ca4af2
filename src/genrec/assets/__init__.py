"""Numbers per item that are built once and shared: text embeddings, collaborative embeddings, clusters, codes, tags."""

from genrec.assets.cf import ReleasedCF
from genrec.assets.clusters import CooccurrenceClusters
from genrec.assets.codes.averages import RVQCodes
from genrec.assets.codes.fitting import Training
from genrec.assets.codes.given import FileCodes
from genrec.assets.codes.product import PQCodes
from genrec.assets.codes.recipes import LETTERCodes, RQVAECodes, encode
from genrec.assets.codes.residual import RQKMeansCodes
from genrec.assets.codes.scalar import FSQCodes
from genrec.assets.frequency import Frequency
from genrec.assets.given import FileEmbeddings
from genrec.assets.item_assets import Assets, ItemAssets
from genrec.assets.recipe import Asset, CFAsset, EmbeddingAsset, FromEmbeddings, ItemCodes, TextAsset
from genrec.assets.store import AssetStore
from genrec.assets.tags.generated import GeneratedTags
from genrec.assets.tags.words import CatalogTags, ItemTags, KeywordTags
from genrec.assets.text import MiniLMText, SentenceText, TfidfText

__all__ = [
    "Asset",
    "AssetStore",
    "Assets",
    "CFAsset",
    "CatalogTags",
    "CooccurrenceClusters",
    "EmbeddingAsset",
    "FSQCodes",
    "FileCodes",
    "FileEmbeddings",
    "Frequency",
    "FromEmbeddings",
    "GeneratedTags",
    "ItemAssets",
    "ItemCodes",
    "ItemTags",
    "KeywordTags",
    "LETTERCodes",
    "MiniLMText",
    "PQCodes",
    "RQKMeansCodes",
    "RQVAECodes",
    "RVQCodes",
    "ReleasedCF",
    "SentenceText",
    "TextAsset",
    "TfidfText",
    "Training",
    "encode",
]

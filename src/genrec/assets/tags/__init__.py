"""Items as tags: words for each, from the catalogue or from a language model."""

from genrec.assets.tags.generated import GeneratedTags
from genrec.assets.tags.words import CatalogTags, ItemTags, KeywordTags

__all__ = ["CatalogTags", "GeneratedTags", "ItemTags", "KeywordTags"]

"""A few words that name an item, written by a small language model that reads its text.

Tan et al., "IDGenRec: LLM-RecSys Alignment with Textual ID Learning", SIGIR 2024, arXiv 2403.19021.
Reference implementation: github.com/agiresearch/IDGenRec, `src/utils/indexing.py`. Unlike there, the first trial reads
many items at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genrec.assets.recipe import hash_arrays
from genrec.assets.tags.words import ItemTags
from genrec.assets.text import hash_model
from genrec.data import Catalog, Dataset

GENERATOR = "nandakishormpai/t5-small-machine-articles-tag-generation"


@dataclass(frozen=True)
class GeneratedTags(ItemTags):
    """What a sequence-to-sequence model that was tuned to write tags says about an item's text.

    Ten candidates by diverse beam search of one beam per group. If all are taken they must differ more, by a higher
    diversity penalty, then be longer.

    Args:
        model: name or folder of the model.
        batch_size: items that are read together in the first trial; the few that need another go one by one.
    """

    model: str = GENERATOR
    batch_size: int = 32

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return f"tags-{Path(self.model).name}"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`; a model in a folder counts by its files, not by where it lies."""
        folder = Path(self.model)
        return {
            "model": hash_model(folder) if folder.is_dir() else self.model,
            "texts": dataset.catalog.text_hash,
            "warm": hash_arrays(dataset.warm),
        }

    def candidates(self, catalog: Catalog, rows: Sequence[int], known: int) -> Iterator[Iterable[str]]:
        """See `ItemTags.candidates`.

        Raises:
            GenrecError: if the items have no text, or the model cannot be had.
        """
        # Imported late: models of transformers take a second, and the tags are made once.
        from genrec.assets.tags.writer import TagWriter

        texts = catalog.texts()
        return TagWriter.load(self.model).candidates([texts[row] for row in rows], self.batch_size)

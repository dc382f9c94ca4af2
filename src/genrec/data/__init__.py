"""From raw files to batches of item ids."""

from genrec.data.catalog import Catalog
from genrec.data.dataset import Dataset, InMemory, Source
from genrec.data.module import SequenceData
from genrec.data.ragged import Ragged
from genrec.data.release import Release

__all__ = ["Catalog", "Dataset", "InMemory", "Ragged", "Release", "SequenceData", "Source"]

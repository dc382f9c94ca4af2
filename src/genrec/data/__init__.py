"""From raw files to batches of item ids."""

from genrec.data.catalog import Catalog
from genrec.data.dataset import Dataset, InMemory, Source
from genrec.data.module import SequenceData
from genrec.data.public import Amazon, MovieLens, Public, Steam
from genrec.data.ragged import Ragged
from genrec.data.release import Release
from genrec.data.sequences import Sequences
from genrec.data.splits import DateSplit, GivenSplit, LeaveOneOut, QuantileSplit, Split
from genrec.data.synthetic import Synthetic
from genrec.data.table import Table

__all__ = [
    "Amazon",
    "Catalog",
    "Dataset",
    "DateSplit",
    "GivenSplit",
    "InMemory",
    "LeaveOneOut",
    "MovieLens",
    "Public",
    "QuantileSplit",
    "Ragged",
    "Release",
    "SequenceData",
    "Sequences",
    "Source",
    "Split",
    "Steam",
    "Synthetic",
    "Table",
]

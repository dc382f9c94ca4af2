"""From raw files to batches of item ids."""

from typing import TYPE_CHECKING, Any

from genrec.data.catalog import Catalog
from genrec.data.dataset import Dataset, InMemory, Source
from genrec.data.extras import Extra
from genrec.data.foreign import Foreign
from genrec.data.ragged import Ragged
from genrec.data.sources import Amazon, MovieLens, Public, Steam
from genrec.data.sources.release import Release
from genrec.data.sources.sequences import Sequences
from genrec.data.sources.synthetic import Synthetic
from genrec.data.sources.table import Table
from genrec.data.splits import DateSplit, GivenSplit, LeaveOneOut, QuantileSplit, Split
from genrec.data.tasks import Task
from genrec.data.texts import Texts

if TYPE_CHECKING:
    from genrec.data.module import SequenceData as SequenceData

__all__ = [
    "Amazon",
    "Catalog",
    "Dataset",
    "DateSplit",
    "Extra",
    "Foreign",
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
    "Task",
    "Texts",
]


def __getattr__(name: str) -> Any:
    """Import the data module only when it is asked for: it needs Lightning, which takes seconds."""
    if name != "SequenceData":
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    from genrec.data.module import SequenceData

    return SequenceData

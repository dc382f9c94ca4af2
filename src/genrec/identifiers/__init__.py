"""Ways to name an item: the interface, the family of token sequences, and the method this library grew around."""

from genrec.identifiers.base import ItemIdentifier
from genrec.identifiers.setrec import SETRec
from genrec.identifiers.tables import table
from genrec.identifiers.token_sequence import Search, TokenSequence
from genrec.identifiers.vocabulary import NewRows, NewToken, all_words, drawn_like

__all__ = [
    "ItemIdentifier",
    "NewRows",
    "NewToken",
    "SETRec",
    "Search",
    "TokenSequence",
    "all_words",
    "drawn_like",
    "table",
]

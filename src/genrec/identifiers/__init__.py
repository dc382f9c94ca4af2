"""Ways to name an item: the interface, and the method this library grew around."""

from genrec.identifiers.base import ItemIdentifier
from genrec.identifiers.setrec import SETRec

__all__ = ["ItemIdentifier", "SETRec"]

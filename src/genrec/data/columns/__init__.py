"""Columns of people's tables made into ours: keys, times and what is known about items."""

from genrec.data.columns.items import item_table
from genrec.data.columns.keys import keys
from genrec.data.columns.rows import Rows, shown
from genrec.data.columns.times import seconds

__all__ = ["Rows", "item_table", "keys", "seconds", "shown"]

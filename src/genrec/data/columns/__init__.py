"""Columns of people's tables made into ours: keys, times and what is known about items."""

from genrec.data.columns.items import item_table
from genrec.data.columns.keys import keys, shortened, written
from genrec.data.columns.rows import Rows, shown
from genrec.data.columns.times import Times

__all__ = ["Rows", "Times", "item_table", "keys", "shortened", "shown", "written"]

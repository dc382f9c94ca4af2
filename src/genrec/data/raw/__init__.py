"""Readers of raw public data sets: from a file as it is published to a frame."""

from genrec.data.raw import amazon, movielens, steam
from genrec.data.raw.lines import BadLines

__all__ = ["BadLines", "amazon", "movielens", "steam"]

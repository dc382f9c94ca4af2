"""Public data sets in their raw files: downloaded, read, cut and kept, in one call."""

from genrec.data.public.amazon import Amazon
from genrec.data.public.base import Public
from genrec.data.public.movielens import MovieLens
from genrec.data.public.steam import Steam

__all__ = ["Amazon", "MovieLens", "Public", "Steam"]

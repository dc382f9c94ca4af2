"""Where data sets come from: files of one's own, public logs, a publisher's prepared folder, and a made-up shop."""

from genrec.data.sources.amazon import Amazon
from genrec.data.sources.movielens import MovieLens
from genrec.data.sources.public import Public
from genrec.data.sources.release import Release
from genrec.data.sources.sequences import Sequences
from genrec.data.sources.steam import Steam
from genrec.data.sources.synthetic import Synthetic
from genrec.data.sources.table import Table

__all__ = ["Amazon", "MovieLens", "Public", "Release", "Sequences", "Steam", "Synthetic", "Table"]

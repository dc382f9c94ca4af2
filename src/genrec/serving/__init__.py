"""A trained recommender in use: loaded from a run or a saved folder, asked for recommendations, given new items."""

from genrec.serving.served import Served, from_pretrained, load

__all__ = ["Served", "from_pretrained", "load"]

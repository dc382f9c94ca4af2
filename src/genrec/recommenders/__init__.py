"""What is trained and measured: every identifier's Recommender, SASRec, and the references that need no training."""

from genrec.recommenders.base import RankingModule
from genrec.recommenders.cf import SASRecCF
from genrec.recommenders.content import ContentKNN, CopyLast
from genrec.recommenders.given import GivenRanking
from genrec.recommenders.prompts import Prompt
from genrec.recommenders.recommender import Recommender
from genrec.recommenders.references import ItemKNN, Popularity, Random
from genrec.recommenders.sasrec import SASRec

__all__ = [
    "ContentKNN",
    "CopyLast",
    "GivenRanking",
    "ItemKNN",
    "Popularity",
    "Prompt",
    "Random",
    "RankingModule",
    "Recommender",
    "SASRec",
    "SASRecCF",
]

"""How every method is measured."""

from genrec.decoding.grounding import top_k
from genrec.evaluation.module import RankingModule
from genrec.evaluation.protocol import MAIN_SETTINGS, RankingMetrics, popularity_groups

__all__ = ["MAIN_SETTINGS", "RankingMetrics", "RankingModule", "popularity_groups", "top_k"]

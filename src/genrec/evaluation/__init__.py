"""How every method is measured."""

from genrec.decoding.grounding import inner_products, top_k
from genrec.evaluation.module import RankingModule
from genrec.evaluation.protocol import MAIN_SETTINGS, RankingMetrics, popularity_groups

__all__ = ["MAIN_SETTINGS", "RankingMetrics", "RankingModule", "inner_products", "popularity_groups", "top_k"]

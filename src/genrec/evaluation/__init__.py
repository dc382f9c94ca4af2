"""How every method is measured."""

from genrec.evaluation.protocol import MAIN_SETTINGS, RankingMetrics, popularity_groups

__all__ = ["MAIN_SETTINGS", "RankingMetrics", "popularity_groups"]

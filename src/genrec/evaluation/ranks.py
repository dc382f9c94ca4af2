"""Results user by user, as ``genrec test`` keeps them: where every target stands in every ranking.

``ranks.parquet`` of a run's folder has a row per test user and target:

========= ==========================================================================================================
user      the user's key
item      the target's key
group     1..5, the target's popularity group; 1 is the most popular
rank_all  its place in the ranking of all items: 1 is the best, 0 is none of the k that were ranked
rank_warm its place in the ranking of the warm items; null for a cold target, which that ranking does not count
rank_cold its place in the ranking of the cold items; null for a warm target
========= ==========================================================================================================

Where rankings without the users' own items are measured too, ``rank_all-new`` and its like are the places in them, null
for a target that the user had taken before. A ranking of fewer items than the largest cut-off is not measured, and its
column is missing.

Every metric of ``metrics.json`` that is about targets follows from it (`means`), and so does every paired comparison of
two runs (`genrec.analysis.compare`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from genrec.errors import GenrecError
from genrec.evaluation.metrics import Metric, parse
from genrec.io.files import write_new

USER, ITEM, GROUP, RANK = "user", "item", "group", "rank_"
GROUPS = range(1, 6)
NEW = "-new"
"""Behind the name of a setting: without the user's own items."""


def write(path: Path, ranks: pl.LazyFrame) -> None:
    """Keep the ranks of a run, beside older ones."""
    write_new(path, ranks.sink_parquet)


def read(path: Path) -> pl.DataFrame:
    """The ranks of a run, ordered by user and item.

    Raises:
        GenrecError: if there is no such file, or it is damaged or of another version.
    """
    if not path.is_file():
        raise GenrecError(f"there is no `{path}`: run `genrec test` again, which writes it")
    try:
        ranks = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise GenrecError(f"`{path}` is damaged: run `genrec test` again") from error
    missing = {USER, ITEM, GROUP, RANK + "all"} - set(ranks.columns)
    if missing:
        raise GenrecError(
            f"`{path}` has no column `{min(missing)}`: it is of another version of genrec; run `genrec test` again"
        )
    return ranks.sort(USER, ITEM)


def settings(ranks: pl.DataFrame) -> tuple[str, ...]:
    """The names of the settings: the candidate sets, then the popularity groups."""
    candidates = [name.removeprefix(RANK) for name in ranks.columns if name.startswith(RANK)]
    return (*candidates, *(f"G{group}" for group in GROUPS))


def user_metrics(ranks: pl.DataFrame, setting: str, names: Sequence[str]) -> np.ndarray:
    """The metrics of every user who has a target in a setting, as `genrec.evaluation.metrics` defines them.

    Args:
        ranks: as from `read`.
        setting: one of `settings`; the groups are counted in the ranking of all items.
        names: metrics such as ``recall@5`` and ``ndcg@10``, with cut-offs of at most the k that were ranked.

    Returns:
        float64 [users, metrics], the users in the order of `ranks`.
    """
    grouped = setting.startswith("G")
    column = pl.col(RANK + ("all" if grouped else setting))
    counted = pl.col(GROUP) == int(setting[1:]) if grouped else column.is_not_null()
    of_ranks = {}
    for name in names:
        metric, k = parse(name)
        if not isinstance(metric, Metric):
            raise GenrecError(f"`{name}` is of what is in the lists: it does not follow from where targets stand")
        of_ranks[name] = metric.of_ranks(column, k)
    users = ranks.filter(counted).group_by(USER, maintain_order=True).agg(**of_ranks)
    return users.select(names).to_numpy()


def means(ranks: pl.DataFrame, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The ``settings`` of ``metrics.json``, computed anew; a setting without users has NaN means."""
    result = {}
    for setting in settings(ranks):
        values = user_metrics(ranks, setting, names)
        mean = values.mean(0) if len(values) else np.full(len(names), np.nan)
        result[setting] = {**dict(zip(names, mean.tolist(), strict=True)), "users": len(values)}
    return result

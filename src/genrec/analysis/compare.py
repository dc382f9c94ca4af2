"""``genrec compare RUN_A RUN_B``: is the difference between two runs more than the luck of who was asked?

Both runs rank the same users, so what counts are the users' own differences: a paired bootstrap over users.

* The users who have a target in a setting are drawn with replacement, as many as there are, and their differences
  averaged; again and again. The middle 95 % of these means are the confidence interval (the percentile interval;
  Efron & Tibshirani, An Introduction to the Bootstrap, 1993, Section 13.3).
* If there were no difference, the means would lie around zero as they now lie around the observed difference. The
  two-sided p-value is the share of them that would then be at least as far from zero as what was observed (the test
  with translated data, Section 16.4; in retrieval: Sakai, Evaluating evaluation metrics based on the bootstrap, SIGIR
  2006, who divides by the standard error besides). The observation counts as one more sample, so p is never 0.

What does not follow from where a user's targets stand, such as the coverage of the catalogue, is set side by side
without an interval.

The samples are of users: the luck of a training (its seed) is not in them. Many comparisons at once find a "p < .05" by
chance; the p-values are not corrected for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from rich.markup import escape
from rich.table import Table

from genrec.config.options import Options
from genrec.errors import GenrecError
from genrec.evaluation import ranks
from genrec.evaluation.metrics import of_ranks, parse
from genrec.io.console import wide_console
from genrec.runs.results import Run, load_run, measured

LEVEL = 0.95
FEWEST = 10
"""Users of a setting below whom a bootstrap says nothing."""

_CELLS = 2**17  # of samples times users at a time: they stay in the processor's cache
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Difference:
    """A metric of one setting in two runs.

    Args:
        setting: all, warm, cold or a popularity group.
        metric: such as ``ndcg@10``.
        users: how many are counted.
        a: the mean of the first run.
        b: the mean of the second.
        low: the lower end of the confidence interval of ``b - a``; NaN for fewer than `FEWEST` users, and for what
            does not follow from their targets' ranks.
        high: its upper end.
        p: the two-sided p-value.
    """

    setting: str
    metric: str
    users: int
    a: float
    b: float
    low: float
    high: float
    p: float


def paired_bootstrap(
    differences: np.ndarray, samples: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence interval and p-value of mean differences.

    Args:
        differences: float64 [users, metrics], the second run's value minus the first one's.
        samples: how often the users are drawn anew.
        rng: draws them, the same ones for every metric.

    Returns:
        The ends of the interval and the two-sided p-values, float64 [metrics] each.
    """
    users = len(differences)
    observed = differences.mean(0)
    means = np.concatenate([draws @ differences / users for draws in _draws(users, samples, rng)])
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    as_far = np.abs(means - observed) >= np.abs(observed) - _ROUNDING
    return low, high, (1 + as_far.sum(0)) / (samples + 1)


def _draws(users: int, samples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each user is in each sample, float64 [some, users], a part of the samples at a time."""
    size = max(1, _CELLS // users)
    for start in range(0, samples, size):
        count = min(size, samples - start)
        drawn = rng.integers(users, size=(count, users)) + np.arange(count)[:, None] * users
        yield np.bincount(drawn.ravel(), minlength=count * users).reshape(count, users).astype(np.float64)


def compare(first: Run, second: Run, samples: int = 10_000, seed: int = 0) -> list[Difference]:
    """Every metric in every setting that both have measured.

    Args:
        first: a tested run, A.
        second: a tested run of the same data, B.
        samples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        GenrecError: if a run has no ranks, or they rank other users or targets or are measured at other cut-offs.
    """
    each = [measured(run.results) for run in (first, second)]
    if len({frozenset(parse(name)[1] for name in names) for names in each}) > 1:
        raise GenrecError(
            f"the runs have different metrics ({' and '.join(map(', '.join, each))}): test them with the same `ks`"
        )
    both = [name for name in each[0] if name in each[1]]
    names = of_ranks(both)
    a, b = ranks_of(first, names), ranks_of(second, names)
    _check_same(first, second, a, b)
    found = []
    for setting in (setting for setting in ranks.settings(a) if setting in ranks.settings(b)):
        values_a, values_b = (ranks.user_metrics(frame, setting, names) for frame in (a, b))
        users = len(values_a)
        ends = np.full((3, len(names)), np.nan)
        if users >= FEWEST:
            ends = np.stack(paired_bootstrap(values_b - values_a, samples, np.random.default_rng(seed)))
        if users:
            means = np.stack([values_a.mean(0), values_b.mean(0)])
            numbers = dict(zip(names, np.concatenate([means, ends]).T.tolist(), strict=True))
            numbers |= {name: _beside(first, second, setting, name) for name in both if name not in names}
            found += [Difference(setting, name, users, *numbers[name]) for name in both]
    return found


def _alone(first: Run, second: Run) -> list[str]:
    """Metrics and settings that the first has measured and the second has not."""
    own, others = ([*measured(run.results), *run.results["settings"]] for run in (first, second))
    return [name for name in own if name not in others]


def _beside(first: Run, second: Run, setting: str, name: str) -> list[float]:
    """What two runs wrote down of a metric, and nothing about the difference."""
    return [*(run.results["settings"][setting][name] for run in (first, second)), *[np.nan] * 3]


def ranks_of(run: Run, names: Sequence[str]) -> pl.DataFrame:
    """The ranks of a run, if they are those of its table.

    Args:
        run: the run.
        names: metrics that follow from ranks, which are computed anew.

    Raises:
        GenrecError: if there are none, or they give other numbers.
    """
    frame = ranks.read(run.ranks)
    for setting, values in ranks.means(frame, names).items():
        expected = run.results["settings"].get(setting, {})
        if not all(
            np.isclose(value, expected.get(name, np.nan), rtol=0, atol=1e-9, equal_nan=True)
            for name, value in values.items()
        ):
            raise GenrecError(
                f"`{run.ranks}` does not give the `{setting}` metrics that stand beside it: run `genrec test` again"
            )
    return frame


def _check_same(first: Run, second: Run, a: pl.DataFrame, b: pl.DataFrame) -> None:
    names = [run.results["dataset"] for run in (first, second)]
    if names[0] != names[1]:
        raise GenrecError(f"the runs are of different data sets, `{names[0]}` and `{names[1]}`")
    pairs = [frame.select(ranks.USER, ranks.ITEM) for frame in (a, b)]
    only = sum(len(one.join(other, on=one.columns, how="anti")) for one, other in (pairs, pairs[::-1]))
    if only or len(a) != len(b):
        raise GenrecError(
            f"the runs do not rank the same users and targets of `{names[0]}` ({only:,} pairs of user and target are "
            "in one of them alone): test both on the same split"
        )
    # Rankings without the users' own items are measured where somebody asks for them.
    counted = pl.col(f"^{ranks.RANK}.*$").exclude(f"^.*{ranks.NEW}$").is_null()
    if not a.select(ranks.GROUP, counted).equals(b.select(ranks.GROUP, counted)):
        raise GenrecError(f"the runs have different warm items or popularity groups of `{names[0]}`")


def command(arguments: Sequence[str]) -> None:
    """Print the comparison of two runs.

    Raises:
        GenrecError: for wrong arguments, and as `compare`.
    """
    options = Options("compare", "A paired bootstrap over the test users of two runs: B - A, 95 % interval, p-value.")
    options.add_argument(
        "a", metavar="RUN_A", help="a run, or a folder of runs: the newest counts; or its metrics.1.json"
    )
    options.add_argument("b", metavar="RUN_B", help="what it is compared with")
    options.add_argument("--samples", type=int, default=10_000, help="how often users are drawn (%(default)s)")
    options.add_argument("--seed", type=int, default=0, help="decides the draws (%(default)s)")
    chosen = options.parse_args(arguments)
    if chosen.samples < 1 or chosen.seed < 0:
        given = f"not {chosen.samples} and {chosen.seed}"
        raise GenrecError(f"--samples takes a positive number, --seed one that is not negative, {given}")
    first, second = load_run(chosen.a), load_run(chosen.b)
    differences = compare(first, second, chosen.samples, chosen.seed)
    for name, run in (("A", first), ("B", second)):
        print(f"{name}: {run.results['method']}, {run.folder}")
    for name, own, other in (("A", first, second), ("B", second, first)):
        if alone := _alone(own, other):
            print(f"{name} alone has measured {', '.join(alone)}: `genrec test` measures what `--measure` asks for")
    wide_console().print(_table(first.results["dataset"], differences))


def _table(dataset: str, differences: Sequence[Difference]) -> Table:
    table = Table(
        title=f"{escape(dataset)}: paired bootstrap over users", caption="p is not corrected for many comparisons"
    )
    for name in ("setting", "metric", "users", "A", "B", "B - A", "95 % interval", "p"):
        table.add_column(name, justify="left" if name in ("setting", "metric") else "right")
    for number, found in enumerate(differences):
        if number and found.setting != differences[number - 1].setting:
            table.add_section()
        bounds = "-" if np.isnan(found.low) else f"{found.low:+.4f} to {found.high:+.4f}"
        p = "-" if np.isnan(found.p) else f"{found.p:.4f}"
        means = f"{found.a:.4f}", f"{found.b:.4f}", f"{found.b - found.a:+.4f}"
        table.add_row(found.setting, found.metric, f"{found.users:,}", *means, bounds, p)
    return table

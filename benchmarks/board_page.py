"""The page of the board, made of the lines of ``runs.csv`` and the plans of the packaged studies.

Nothing else goes in: whoever changes a line, or a study, makes the page anew (`benchmarks.board`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genrec import recommenders
from genrec.analysis.report import paper
from genrec.analysis.report.command import MAIN_SETTINGS, NEW_SETTINGS
from genrec.analysis.report.rows import grouped
from genrec.config.files import PACKAGED, find_config, load_config
from genrec.evaluation.metrics import short
from genrec.study.plan import STUDIES, Cell, flags, load_plan

BOARD = (
    "chosen_toys_causal_small",
    "chosen_toys_small",
    "successors_toys_causal_small",
    "negatives_toys_causal_small",
    "quantisers_toys_causal_small",
    "steps_toys_diffgrm_causal_small",
    "open_toys_causal_small",
    "ablation_toys_causal_small",
    "ablation_toys_small",
    "chosen_beauty_causal_small",
    "released_loo",
    "new_toys_t5",
)
"""The studies whose cells are listed whether they were run or not."""

METRICS = ("recall@10", "ndcg@10")
READ = (("all", "recall@10"), ("all", "ndcg@10"), ("cold", "recall@10"))
"""What is put into words."""

HEAD = """# The board

Made by `python -m benchmarks.board write` of [runs.csv](runs.csv), which has a line per run: the hash of its settings,
commit, seed, seconds, hardware, and every metric of every setting with its interval. What a hash stands for is in
[settings.jsonl](settings.jsonl), for all but a few early ones. `python -m benchmarks.board add studies/NAME` takes the
runs of a study into both, a rerun in the place of the older line.

A number is the mean over seeds, ± their standard deviation where there are several. In brackets are the ends of the
95 % interval by the bootstrap over test users, for several seeds the means of theirs: all seeds rank the same users, so
that more of them do not make it narrower. Below a table, a row is said to be above another where no interval of one of
its seeds reaches one of the other's; two that overlap may yet be told apart by a [paired comparison](../evaluation.md).
The best of a column is bold. † was trained on nothing. Rows in italics were published, of larger models, trained for
longer: they are points without an interval. Seconds are of the machine below the table, which may have had other work.
Earlier results, of an older recipe, are [kept apart](toys.md).
"""


@dataclass(frozen=True)
class Value:
    """A metric of a row; NaN for what there is not.

    Args:
        mean: over seeds.
        low, high: the ends of the interval, means over seeds.
        std: deviation over seeds.
        least, most: the outermost ends of all seeds' intervals.
    """

    mean: float
    low: float = np.nan
    high: float = np.nan
    std: float = np.nan
    least: float = np.nan
    most: float = np.nan

    def is_above(self, other: Value) -> bool:
        """Whether no interval of a seed reaches one of the other's; what has no interval is a point."""
        return bool(np.nan_to_num(self.least, nan=self.mean) > np.nan_to_num(other.most, nan=other.mean))


@dataclass(frozen=True)
class Entry:
    """A row of a table.

    Args:
        label: what it is called.
        lines: its runs, with other seeds; none for published numbers.
        values: by setting and metric.
    """

    label: str
    lines: Sequence[Mapping[str, str]]
    values: Mapping[tuple[str, str], Value]

    @property
    def free(self) -> bool:
        """Whether nothing was trained."""
        return bool(self.lines) and self.lines[0]["trained"] == "0"


def page(lines: Sequence[Mapping[str, str]]) -> str:
    """The Markdown of all studies."""
    counts = Counter(line["study"] for line in lines)
    sections = (_section(study, own, counts[study] - len(own)) for study, own in current(lines).items())
    return "\n".join([HEAD, *sections])


def current(lines: Sequence[Mapping[str, str]]) -> dict[str, list[Mapping[str, str]]]:
    """The current lines by study: those of the board, then what else was run; of a row the newest settings."""
    made: dict[str, list[Mapping[str, str]]] = {study: [] for study in BOARD}
    for row in grouped(lines, lambda line: (line["dataset"], line["study"], line["row"])):
        newest = max(row, key=lambda line: line["started"])["hash"]
        made.setdefault(row[0]["study"], []).extend(line for line in row if line["hash"] == newest)
    return made


def figure_name(study: str, lines: Sequence[Mapping[str, str]]) -> str:
    """What the figure of a study on a data set is called."""
    return f"board_{study or 'single'}_{lines[0]['dataset']}.png"


def _section(study: str, lines: Sequence[Mapping[str, str]], older: int) -> str:
    """What there is to see of a study; `older` lines of its rows have other settings than their newest."""
    parts = [f"## {study or 'Single runs'}\n"]
    if study:
        parts.append(about(study))
    for same in grouped(lines, lambda line: line["dataset"]):
        entries = entries_of(study, same)
        parts.append(f"{same[0]['dataset']}: {int(same[0]['users']):,} test users, {int(same[0]['items']):,} items.\n")
        parts += [_table(entries, MAIN_SETTINGS, True)]
        parts += [_table(entries, NEW_SETTINGS, False)] if any(_has(entry, NEW_SETTINGS) for entry in entries) else []
        parts.append(f"![{short('ndcg@10')} with intervals](figures/{figure_name(study, same)})\n")
        parts += ["".join(reading(entries)), _where(same)]
    if older:
        parts.append(f"In runs.csv alone, because their rows were run with other settings since: {older}.\n")
    if study and (empty := list(_empty(study, lines))):
        parts.append(f"Empty, until `genrec study {study}.yaml --data.root DIR` has run them: {', '.join(empty)}.\n")
    return "\n".join(parts)


def about(study: str) -> str:
    """What a study says of itself, its comment, and what it sets for all rows."""
    if not _is_there(study):
        return "Its yaml is not here any more.\n"
    text = find_config(f"{study}.yaml", PACKAGED / STUDIES).read_text(encoding="utf-8")
    said = "".join(line.removeprefix("# ") + "\n" for line in text.splitlines() if line.startswith("#"))
    shared = ", ".join(f"`{setting.removeprefix('--')}`" for setting in flags(load_plan(f"{study}.yaml").shared))
    return f"{said}\nSet for all rows that do not say otherwise: {shared}.\n" if shared else said


def entries_of(study: str, lines: Sequence[Mapping[str, str]]) -> list[Entry]:
    """The rows of a table in the order of the plan, and below the last of a method what was published of it."""
    planned = list(dict.fromkeys(cell.row for cell in _plan(study)))
    rows = grouped(lines, lambda line: line["row"])
    rows.sort(key=lambda row: planned.index(row[0]["row"]) if row[0]["row"] in planned else len(planned))
    methods = [row[0]["method"] for row in rows]
    made = []
    for number, row in enumerate(rows):
        first, method = row[0], methods[number]
        own = f"{method} ({first['row'].rpartition('/')[2]})" if methods.count(method) > 1 else method
        made.append(Entry(own + (" †" if first["trained"] == "0" else ""), row, _values(row)))
        found = paper.published(first["dataset"], method, first["backbone"] or None)
        if found and method not in methods[number + 1 :]:
            numbers = {
                (setting, metric): Value(value)
                for setting, values in found["settings"].items()
                for metric, value in values.items()
                if value is not None
            }
            made.append(Entry(f"*{method}, published ({found['backbone']})*", [], numbers))
    return made


def _values(row: Sequence[Mapping[str, str]]) -> dict[tuple[str, str], Value]:
    made = {}
    for setting in (*MAIN_SETTINGS, *NEW_SETTINGS):
        for metric in METRICS:
            name = f"{setting} {metric}"
            if seeds := [line for line in row if line.get(name)]:
                mean, low, high = (
                    np.mean([float(line[name + end] or "nan") for line in seeds]) for end in ("", " low", " high")
                )
                several = [float(line[name]) for line in seeds] if len(seeds) > 1 else []
                std = float(np.std(several, ddof=1)) if several else np.nan
                ends = (
                    outermost(float(line[name + end] or "nan") for line in seeds)
                    for outermost, end in ((min, " low"), (max, " high"))
                )
                made[setting, metric] = Value(float(mean), float(low), float(high), std, *ends)
    return made


def _plan(study: str) -> Sequence[Cell]:
    return load_plan(f"{study}.yaml").cells if study and _is_there(study) else []


def _is_there(study: str) -> bool:
    """Whether a study has its yaml still: one of somebody's own may have gone, and its lines stay."""
    return any((place / f"{study}.yaml").is_file() for place in (Path(), PACKAGED / STUDIES))


def _has(entry: Entry, settings: Sequence[str]) -> bool:
    return any(setting in settings for setting, _ in entry.values)


def digits(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def _table(entries: Sequence[Entry], settings: Sequence[str], whole: bool) -> str:
    """A row per entry that has these settings; the whole one says how it was trained too."""
    shown = [entry for entry in entries if _has(entry, settings)]
    columns = [(setting, metric) for setting in settings for metric in METRICS]
    head = ["", *(f"{short(metric)} {setting}" for setting, metric in columns)]
    head += ["seeds", "epochs", "fit s", "rank s", "trained"] if whole else []
    table = [head, ["---", *["---:"] * (len(head) - 1)]]
    ours = [entry for entry in shown if entry.lines]
    best = {column: max((e.values[column].mean for e in ours if column in e.values), default=0) for column in columns}
    for entry in shown:
        cells = [_cell(entry.values.get(column), bool(entry.lines) and best[column]) for column in columns]
        table.append([entry.label, *cells, *(_training(entry.lines) if whole else [])])
    return "".join(f"| {' | '.join(row)} |\n" for row in table)


def _cell(value: Value | None, best: float) -> str:
    if value is None:
        return "-"
    mean = f"**{digits(value.mean)}**" if value.mean == best > 0 else digits(value.mean)
    std = "" if np.isnan(value.std) else f" ± {digits(value.std)}"
    return mean + std + ("" if np.isnan(value.low) else f" ({digits(value.low)} to {digits(value.high)})")


def _training(lines: Sequence[Mapping[str, str]]) -> list[str]:
    """Seeds, epochs, seconds of fitting and ranking, parameters that were trained; of what was published nothing."""
    if not lines:
        return [""] * 5
    seconds = [
        [float(line[f"{name}_seconds"]) for line in lines if line[f"{name}_seconds"]] for name in ("fit", "rank")
    ]
    means = [f"{np.mean(found):,.0f}" if found else "" for found in seconds]
    each = [", ".join(dict.fromkeys(line[name] for line in lines)) for name in ("seed", "epochs")]
    return [*each, *means, f"{int(lines[0]['trained']):,}"]


def _where(lines: Sequence[Mapping[str, str]]) -> str:
    """The machines and the commits of a table."""
    machines = {
        f"{line['gpus'] or line['cpu']}, {line['cores']} cores, {line['threads']} threads, torch {line['torch']}"
        for line in lines
    }
    commits = {f"`{line['commit'][:7]}`" if line["commit"] else "unknown" for line in lines}
    return f"{'; '.join(sorted(machines))}; commit {', '.join(sorted(commits))}.\n"


def reading(entries: Sequence[Entry]) -> Iterator[str]:
    """What is as was published and what is not, and what is no better than a row that was trained on nothing."""
    trained = [entry for entry in entries if entry.lines and not entry.free]
    for column in READ:
        what = f"{short(column[1])}, {column[0]} items"
        known = [entry for entry in entries if not entry.lines and column in entry.values]
        published = {entry.label[1:].partition(",")[0]: entry.values[column] for entry in known}
        pairs = [(entry, published[name]) for entry in trained if (name := entry.lines[0]["method"]) in published]
        if pairs:
            yield f"- {what}, beside what was published: {_placed(pairs, column)}.\n"
        free = [entry for entry in entries if entry.free and column in entry.values]
        if free and trained:
            best = max(free, key=lambda entry: entry.values[column].mean)
            value = best.values[column]
            placed = _placed([(entry, value) for entry in trained], column)
            yield f"- {what}, beside {best.label} ({digits(value.mean)}): {placed}.\n"


def _placed(pairs: Sequence[tuple[Entry, Value]], column: tuple[str, str]) -> str:
    """Rows by where they lie beside another."""
    places: dict[str, list[str]] = {"above it": [], "not told apart": [], "below it": []}
    for entry, value in pairs:
        own = entry.values.get(column)
        if own is not None and not np.isnan(own.low):
            place = "above it" if own.is_above(value) else "below it" if value.is_above(own) else "not told apart"
            places[place].append(entry.label)
    return "; ".join(f"{place}: {', '.join(found)}" for place, found in places.items() if found) or "no interval"


def _empty(study: str, lines: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """The rows that were not run, or not with all seeds; what learns nothing has the first seed alone."""
    done = {(line["row"], line["seed"]) for line in lines}
    for cells in grouped(_plan(study), lambda cell: cell.row):
        model = load_config(str(cells[0].config))["model"]["class_path"].rpartition(".")[2]
        learns = getattr(recommenders, model, recommenders.RankingModule).learns
        seeds = [str(cell.seed) for cell in (cells if learns else cells[:1])]
        if missing := [seed for seed in seeds if (cells[0].row, seed) not in done]:
            yield f"`{cells[0].row}`" + ("" if missing == seeds else f" ({', '.join(missing)})")

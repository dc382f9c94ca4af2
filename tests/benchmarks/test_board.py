"""The board: runs as data, and a page that is made of nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from benchmarks import board, board_page, board_readme

from genrec.errors import GenrecError
from genrec.evaluation import ranks
from genrec.runs import layout
from genrec.study.settings import full_config

STUDY = "negatives_toys_causal_small"
ROWS = {"all-items": None, "in-batch": {"kind": "in_batch"}}
RECOMMENDER = "genrec.recommenders.Recommender"
NAMES = ["recall@10", "ndcg@10"]


BLOCK = f"<!-- board: toys, {STUDY} -->\n<!-- /board -->"


@pytest.fixture(autouse=True)
def readme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Few samples, and a README that is no one's."""
    monkeypatch.setattr(board, "SAMPLES", 50)
    monkeypatch.setattr(board, "README", tmp_path / "README.md")
    board.README.write_text(f"before\n\n{BLOCK}\n\nafter\n")
    return board.README


def made(folder: Path, places: list[int], method: str = "SETRec", epochs: int = 1, **others: Any) -> Path:
    """A tested run of a user per place, half of them with warm targets."""
    warm = pl.int_range(len(places), eager=True) % 2 == 0
    place, none = pl.Series(places), pl.Series([None], dtype=pl.Int64)
    frame = pl.DataFrame({"user": [f"{user:03}" for user in range(len(places))], "item": "i", "group": 1})
    frame = frame.with_columns(
        rank_all=place, rank_warm=place.zip_with(warm, none), rank_cold=place.zip_with(~warm, none)
    ).with_columns(pl.col("^rank_.*$").name.map(lambda name: name + ranks.NEW), pl.col("^rank_.*$"))
    ranks.write(folder / layout.RANKS, frame.lazy())
    results = {
        "dataset": "toys",
        "method": method,
        "backbone": "new qwen2, hidden_size 128",
        "split": "test",
        "users": len(places),
        "items": 10,
        "settings": ranks.means(frame, NAMES),
        "parameters": {"trained": 0 if method == "ContentKNN" else 1234},
        "seconds": {"fit": 20.0, "rank": 1.0},
        "hardware": {"cpu": "x86_64", "cores": 2, "threads": 1, "gpus": []},
        "versions": {"torch": "2.13.0", "commit": "f" * 40},
        **others,
    }
    cell = folder.parent
    settings = {
        "seed_everything": int(cell.name.removeprefix("seed")) if cell.name.startswith("seed") else 42,
        "trainer": {"max_epochs": epochs, "default_root_dir": str(folder)},
        "model": {"class_path": RECOMMENDER, "init_args": {"negatives": ROWS.get(folder.parents[1].name)}},
    }
    (folder / layout.METRICS).write_text(json.dumps(results))
    (folder / layout.FIT).write_text(json.dumps({"epochs": epochs, "commit": "0123456789"}))
    (folder / layout.CONFIG).write_text(yaml.safe_dump(settings))
    if cell.name.startswith("seed"):
        (cell / f"{cell.name}.yaml").touch()
    return folder


def resolve(arguments: Sequence[str]) -> dict[str, Any]:
    """The config of a cell as `made` writes it, of the arguments that a study gives."""
    told = dict(each.removeprefix("--").split("=", 1) for each in arguments if "=" in each)
    negatives = json.loads(told.get("model.init_args.negatives", "null"))
    return {
        "trainer": {"max_epochs": int(told["trainer.max_epochs"])},
        "model": {"class_path": RECOMMENDER, "init_args": {"negatives": negatives}},
    }


def cell(studies: Path, row: str = "all-items", seed: int = 42, day: int = 1) -> Path:
    return studies / STUDY / "toys_setrec_causal_small" / row / f"seed{seed}" / f"2026-01-{day:02}_00-00-00"


def lines(results: Path) -> list[dict[str, str]]:
    return board.read(results / board.RUNS)


def test_a_run_is_a_line_and_a_rerun_takes_its_place(tmp_path: Path) -> None:
    made(cell(tmp_path), [1, 0] * 20)
    board.main(["add", str(tmp_path / STUDY)], tmp_path, resolve)
    once = (tmp_path / board.RUNS).read_bytes()
    (line,) = lines(tmp_path)
    assert (line["study"], line["row"], line["seed"]) == (STUDY, "toys_setrec_causal_small/all-items", "42")
    assert (line["commit"], line["epochs"], line["fit_seconds"]) == ("0123456789", "1", "20.000000000")
    assert (line["warm recall@10"], line["warm recall@10 low"], line["warm recall@10 high"]) == ("1.000000000",) * 3
    assert float(line["all recall@10 low"]) < 0.5 < float(line["all recall@10 high"])
    assert (line["G5 users"], line["G5 recall@10"]) == ("0", ""), "a mean over nobody"
    board.main(["add", str(tmp_path / STUDY)], tmp_path, resolve)
    assert (tmp_path / board.RUNS).read_bytes() == once

    made(cell(tmp_path, day=2), [1] * 40)
    board.main(["add", str(tmp_path / STUDY)], tmp_path, resolve)
    assert [(line["started"][:10], line["all recall@10"]) for line in lines(tmp_path)] == [
        ("2026-01-02", "1.000000000")
    ]
    made(cell(tmp_path, seed=43), [1] * 40)
    board.main(["add", str(tmp_path / STUDY)], tmp_path, resolve)
    assert [line["seed"] for line in lines(tmp_path)] == ["42", "43"]
    assert len({line["hash"] for line in lines(tmp_path)}) == 1, "a seed and a folder are no settings"


def test_a_key_that_came_in_since_is_no_other_setting(tmp_path: Path) -> None:
    def add(seed: int, **options: Any) -> str:
        run = made(tmp_path / "runs" / "toys_setrec" / f"2026-01-{seed - 41:02}_00-00-00", [1] * 40)
        config = yaml.safe_load((run / layout.CONFIG).read_text())
        identifier = {"class_path": "genrec.identifiers.SETRec", "init_args": {"n_semantic": 4, **options}}
        model = {"class_path": RECOMMENDER, "init_args": {"identifier": identifier}}
        (run / layout.CONFIG).write_text(yaml.safe_dump({**config, "seed_everything": seed, "model": model}))
        board.main(["add", str(run.parent)], tmp_path)
        return next(line["hash"] for line in lines(tmp_path) if line["seed"] == str(seed))

    first = add(42)
    assert add(43, query_std=0.02) == first, "as it always was"
    # From now on it is known what it was, whatever it is by default.
    with pytest.MonkeyPatch.context() as later:
        later.setattr("genrec.config.settings._default", lambda config, key: 1.0)
        assert add(44, query_std=1.0) != first
        assert add(45, query_std=0.02) == first
    known = map(json.loads, (tmp_path / board.SETTINGS).read_text().splitlines())
    key = "model.identifier.query_std"
    assert {each["hash"]: (each["settings"].get(key), each["since"].get(key)) for each in known} == {
        first: (None, 0.02),
        next(line["hash"] for line in lines(tmp_path) if line["seed"] == "44"): (1.0, None),
    }
    assert len(lines(tmp_path)) == 4, "read again, they are what they were"


def test_the_commit_of_a_run_that_does_not_say(tmp_path: Path) -> None:
    run = made(cell(tmp_path), [1] * 40, versions={"torch": "2.13.0"})
    (run / layout.FIT).unlink()
    for more, expected in (([], ""), (["--commit", "abc"], "abc"), ([], "abc"), (["--commit", "other"], "abc")):
        board.main(["add", str(tmp_path / STUDY), *more], tmp_path, resolve)
        assert [line["commit"] for line in lines(tmp_path)] == [expected]


def test_the_page_is_made_of_the_lines(tmp_path: Path) -> None:
    made(cell(tmp_path), [1, 0] * 20)
    made(cell(tmp_path, seed=43), [1] * 40)
    made(cell(tmp_path, "in-batch"), [0] * 40)
    made(tmp_path / "runs" / "toys_contentknn" / "2026-01-01_00-00-00", [1, 0, 0, 0] * 10, "ContentKNN")
    board.main(["add", str(tmp_path / STUDY), str(tmp_path / "runs" / "toys_contentknn")], tmp_path, resolve)
    board.main(["write"], tmp_path)
    page = (tmp_path / board.PAGE).read_text()
    section = page.partition(f"## {STUDY}\n")[2].partition("## ")[0]
    (whole, new) = (line for line in section.splitlines() if line.startswith("| SETRec (all-items) |"))
    number = float(np.std([0.5, 1.0], ddof=1))
    assert whole.split(" | ")[1].startswith(f"**.7500** ± {number:.4f} (".replace("0.", ".", 1))
    assert whole.endswith(" | 42, 43 | 1 | 20 | 1 | 1,234 |")
    assert new.count(" | ") == 6, "without the users' own items: metrics alone"
    assert "| *SETRec, published (Qwen2.5-1.5B)* | .0188 | .0120 |" in section
    assert "beside what was published: above it: SETRec (all-items); below it: SETRec (in-batch)." in section
    assert "commit `0123456`." in section
    assert f"`genrec study {STUDY}.yaml --data.root DIR`" in section
    assert "`toys_setrec_causal_small/all-items` (44), `toys_setrec_causal_small/uniform-1024`, " in section
    assert "| ContentKNN † |" in page.partition("## Single runs\n")[2]
    figure = tmp_path / "figures" / f"board_{STUDY}_toys.png"
    assert f"](figures/{figure.name})" in section
    assert "| SETRec (in-batch) | .0000 .0000 |" in board.README.read_text()
    drawn = figure.read_bytes()
    board.main(["write"], tmp_path)
    assert (tmp_path / board.PAGE).read_text() == page
    assert figure.read_bytes() == drawn


def test_the_readme_has_a_study(tmp_path: Path, readme: Path) -> None:
    made(cell(tmp_path), [1, 1, 1, 0] * 10)
    made(cell(tmp_path, seed=43), [1] * 40)
    made(tmp_path / "runs" / "toys_setrec" / "2026-01-01_00-00-00", [0] * 40)
    for day, places in ((1, [0] * 40), (2, [1, 0, 0, 0] * 10)):
        made(tmp_path / "runs" / "toys_contentknn" / f"2026-01-0{day}_00-00-00", places, "ContentKNN", day)
    board.main(["add", str(tmp_path / STUDY), str(tmp_path / "runs")], tmp_path, resolve)
    apart = lines(tmp_path)
    assert "ContentKNN" not in board_readme.filled(readme.read_text(), apart), "another run, of other settings perhaps"
    own = [{**line, "study": STUDY} if line["method"] == "ContentKNN" else line for line in apart]
    text = board_readme.filled(readme.read_text(), own)
    head, block, foot = text.partition("\n| ")[0], *text.partition("\n| ")[2].split("\n<!-- /board -->")
    assert (head.splitlines()[0], foot) == ("before", "\n\nafter\n")
    assert "SETRec with a softmax over all items, and over drawn ones." in head, "what the study says of itself"
    (knn, setrec, published) = [line.split(" | ") for line in block.splitlines() if ".0" in line and line[0] == "|"]
    assert knn == ["| ContentKNN †", ".2500 .2500", ".5000 .5000", ".0000 .0000", " |"], "the newest, and first"
    assert setrec[1:] == [".8750 .8750", "1.0000 1.0000", ".7500 .7500", "2 |"]
    assert published[:2] == ["| *SETRec, published (Qwen2.5-1.5B)*", ".0188 .0120"]
    assert "- R@10, all items, beside ContentKNN † (.2500): above it: SETRec.\n" in block
    assert board_readme.filled(text, own) == text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no block", "has 0 blocks"),
        (f"{BLOCK} {BLOCK}", "has 2 blocks"),
        (
            "<!-- board: toys, main_toys_small -->\n<!-- /board -->",
            "shows main_toys_small on toys, of which there is no run",
        ),
    ],
)
def test_a_readme_without_its_place(text: str, complaint: str) -> None:
    with pytest.raises(GenrecError, match=complaint):
        board_readme.filled(text, lines(board.RESULTS))


def test_what_beats_a_row_for_free_is_said(tmp_path: Path) -> None:
    for number, (method, places) in enumerate(
        {"SETRec": [1] * 40, "TIGER": [1, 0] * 20, "ContentKNN": [0, 1] * 20, "CID": [0] * 40}.items()
    ):
        made(tmp_path / "runs" / method / f"2026-01-0{number + 1}_00-00-00", places, method)
    board.main(["add", str(tmp_path / "runs")], tmp_path, resolve)
    text = board_page.page(lines(tmp_path))
    said = "- R@10, all items, beside ContentKNN † (.5000): above it: SETRec; not told apart: TIGER; below it: CID.\n"
    assert said in text


def test_a_row_is_above_another_where_no_seed_says_otherwise(tmp_path: Path) -> None:
    value = partial(board_page.Value, 0.5, 0.4, 0.6, 0.1)
    assert value(0.4, 0.6).is_above(board_page.Value(0.39))
    assert not value(0.3, 0.7).is_above(board_page.Value(0.39)), "one seed reaches it"
    assert not value(0.4, 0.6).is_above(board_page.Value(0.3, 0.2, 0.35, 0.1, 0.1, 0.45))
    for seed, places in ((42, [1] * 40), (43, [1, 0] * 20)):
        made(cell(tmp_path, seed=seed), places)
    board.main(["add", str(tmp_path / STUDY)], tmp_path, resolve)
    (entry,) = (entry for entry in board_page.entries_of(STUDY, lines(tmp_path)) if entry.lines)
    (low, high) = ([float(line[f"all recall@10 {end}"]) for line in lines(tmp_path)] for end in ("low", "high"))
    found = entry.values["all", "recall@10"]
    assert (found.least, found.most) == (min(low), max(high)), "the outermost ends"
    assert (found.low, found.high) == (pytest.approx(sum(low) / 2), pytest.approx(sum(high) / 2))


def test_what_was_published_of_all_items_alone_is_read_so(tmp_path: Path) -> None:
    made(tmp_path / "runs" / "sasrec" / "2026-01-01_00-00-00", [1] * 40, "SASRec", dataset="beauty_loo")
    board.main(["add", str(tmp_path / "runs")], tmp_path, resolve)
    text = board_page.page(lines(tmp_path))
    assert "| *SASRec, published" in text
    assert "- R@10, all items, beside what was published: above it: SASRec.\n" in text
    assert "cold items, beside what was published" not in text


def test_the_page_shows_the_newest_settings_of_a_row(tmp_path: Path) -> None:
    runs = tmp_path / "runs" / "toys_setrec"
    made(runs / "2026-01-01_00-00-00", [0] * 40, epochs=1)
    made(runs / "2026-01-02_00-00-00", [1] * 40, epochs=3)
    board.main(["add", str(runs)], tmp_path, resolve)
    assert [line["epochs"] for line in sorted(lines(tmp_path), key=lambda line: line["started"])] == ["1", "3"]
    page = board_page.page(lines(tmp_path))
    (row, _) = (line for line in page.splitlines() if line.startswith("| SETRec |"))
    assert row.endswith(" | 42 | 3 | 20 | 1 | 1,234 |")
    assert page.count("In runs.csv alone, because their rows were run with other settings since: 1.") == 1


def test_a_run_that_was_moved_into_a_cell_is_one_of_the_study(tmp_path: Path) -> None:
    run = made(cell(tmp_path), [1] * 40)
    (run.parent / "seed42.yaml").unlink()
    board.main(["add", str(tmp_path / STUDY)], tmp_path, resolve)
    (line,) = lines(tmp_path)
    assert (line["study"], line["row"]) == (STUDY, "toys_setrec_causal_small/all-items")


def test_runs_of_older_settings_in_a_cell_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older = made(cell(tmp_path), [1] * 40, epochs=3)
    made(cell(tmp_path, day=2), [2] * 40)
    board.main(["add", str(tmp_path / STUDY)], tmp_path, resolve)
    assert [line["epochs"] for line in lines(tmp_path)] == ["1"]
    told = f"left out {older}: it has not the settings of its cell (trainer.max_epochs: 3 -> 1)\n"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(("file", "text"), [(layout.FIT, "{"), (layout.METRICS, None)])
def test_a_damaged_run_is_named(
    tmp_path: Path, file: str, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made(cell(tmp_path), [1] * 40)
    results = json.loads((run / file).read_text())
    results.pop("hardware", None)
    (run / file).write_text(text or json.dumps(results))
    with pytest.raises(SystemExit, match="2"):
        board.main(["add", str(tmp_path / STUDY)], tmp_path, resolve)
    assert f"{run} is damaged, or of another version of genrec (" in capsys.readouterr().err


def test_what_a_study_leaves_to_its_configs_counts_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = "model.init_args.identifier.init_args"
    study = {
        "configs": ["toys_setrec_small.yaml", {"toys_tiger_small.yaml": {f"{path}.codes": "RQKMeansCodes"}}],
        "set": {"trainer.max_epochs": 1},
    }
    Path("mine.yaml").write_text(yaml.safe_dump(study))
    # A class may be named without more.
    whole = {
        "toys_setrec_small": full_config(["--config", "toys_setrec_small.yaml", "--trainer.max_epochs=1"]),
        "toys_tiger_small": full_config(
            ["--config=toys_tiger_small.yaml", "--trainer.max_epochs=1", f"--{path}.codes=genrec.assets.RQKMeansCodes"]
        ),
    }
    for row, config in whole.items():
        for day, others in ((1, {}), (2, {"limit_train_batches": 10})):
            run = made(Path(f"mine/{row}/seed42/2026-01-0{day}_00-00-00"), [1] * 40)
            wanted = {**config, "seed_everything": 42, "trainer": {**config["trainer"], **others}}
            (run / layout.CONFIG).write_text(yaml.safe_dump(wanted))
    board.main(["add", "mine"], tmp_path)
    assert [line["started"][:10] for line in lines(tmp_path)] == ["2026-01-01"] * 2
    assert capsys.readouterr().out.count("settings of its cell (trainer.limit_train_batches: 10 -> None)") == 2


def test_a_list_of_a_study_counts_by_its_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = "model.init_args.identifier.init_args.betas"
    Path("mine.yaml").write_text(yaml.safe_dump({"config": "toys_setrec_small.yaml", "retest": {key: [[1.0]]}}))
    config = full_config(["--config=toys_setrec_small.yaml"])
    for day, betas in ((1, [1]), (2, [0.5])):
        run = made(Path(f"mine/toys_setrec_small/betas=1.0/seed42/2026-01-0{day}_00-00-00"), [1] * 40)
        config["model"]["init_args"]["identifier"]["init_args"]["betas"] = betas
        (run / layout.CONFIG).write_text(yaml.safe_dump({**config, "seed_everything": 42}))
    board.main(["add", "mine"], tmp_path)
    assert [(line["started"][:10], line["row"]) for line in lines(tmp_path)] == [
        ("2026-01-01", "toys_setrec_small/betas=1.0")
    ]
    assert f"({key.replace('.init_args', '')}: [0.5] -> [1.0])" in capsys.readouterr().out


def test_a_row_that_a_study_no_longer_has_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(cell(tmp_path), [1] * 40)
    gone = made(cell(tmp_path, "of-old"), [1] * 40)
    board.main(["add", str(tmp_path / STUDY)], tmp_path, resolve)
    assert [line["row"] for line in lines(tmp_path)] == ["toys_setrec_causal_small/all-items"]
    assert f"left out {gone.parent}: no cell of {STUDY}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("run", "complaint"),
    [
        ({"places": [1] * 20}, "`toys` has 20 users and 10 items there, and 40 and 10 in"),
        ({"users": 41}, "did not rank all test users"),
        ({"split": "validation"}, "did not rank all test users"),
        ({"epochs": 3}, "it has not the settings of its cell (trainer.max_epochs: 3 -> 1)"),
    ],
    ids=["another cut", "some users", "validation", "another budget"],
)
def test_a_run_that_is_none_of_the_board(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], run: dict[str, Any], complaint: str
) -> None:
    made(cell(tmp_path), [1] * 40)
    board.main(["add", str(tmp_path / STUDY)], tmp_path, resolve)
    before = (tmp_path / board.RUNS).read_bytes()
    made(cell(tmp_path, "in-batch"), **{"places": [1] * 40, **run})
    with pytest.raises(SystemExit, match="2"):
        board.main(["add", str(tmp_path / STUDY)], tmp_path, resolve)
    assert complaint in capsys.readouterr().err
    assert (tmp_path / board.RUNS).read_bytes() == before


def test_the_page_in_the_docs_is_that_of_its_runs() -> None:
    page = (board.RESULTS / board.PAGE).read_text(encoding="utf-8")
    assert page == board_page.page(lines(board.RESULTS)), "make it anew: python -m benchmarks.board write"
    figures = {line.partition("](")[2].rstrip(")") for line in page.splitlines() if line.startswith("![")}
    assert figures
    assert [name for name in figures if not (board.RESULTS / name).is_file()] == []


def test_the_readme_is_that_of_its_runs() -> None:
    text = (board.ROOT / "README.md").read_text(encoding="utf-8")
    assert text == board_readme.filled(text, lines(board.RESULTS)), "make it anew: python -m benchmarks.board write"


def test_a_study_whose_yaml_is_gone_keeps_its_lines(tmp_path: Path) -> None:
    made(cell(tmp_path), [1] * 40)
    board.main(["add", str(tmp_path / STUDY)], tmp_path, resolve)
    page = board_page.page([{**line, "study": "somebody_s"} for line in lines(tmp_path)])
    assert "## somebody_s\n\nIts yaml is not here any more.\n" in page
    assert "| SETRec | **1.0000**" in page

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genrec.io.files import set_aside, write_text
from genrec.runs import layout


def test_two_runs_of_one_second_get_two_folders(tmp_path: Path) -> None:
    made = [layout.new_run(tmp_path, "toys") for _ in range(3)]
    assert len({*made}) == 3
    assert all(run.parent == tmp_path / "toys" for run in made)


def test_a_run_without_a_file_is_removed(tmp_path: Path) -> None:
    first, second = (layout.new_run(tmp_path, "toys") for _ in range(2))
    (first / layout.CONFIG).touch()
    for run in (first, second):
        layout.remove_if_empty([run, run.parent])
    assert list((tmp_path / "toys").iterdir()) == [first]
    (first / layout.CONFIG).unlink()
    layout.remove_if_empty([first, first.parent])
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_known_before_it_is_made(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    made = layout.missing(there / "runs" / "toys")
    assert made == [there / "runs" / "toys", there / "runs"]
    layout.remove_if_empty([layout.new_run(there / "runs", "toys"), *made])
    assert list(tmp_path.iterdir()) == [there], "what was there stays, however empty"


def test_what_a_killed_training_began_to_write_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / layout.CHECKPOINTS).mkdir()
    for name in ("checkpoints/.last.ckpt.7", "checkpoints/last.ckpt", ".config.yaml.7", ".lock", "fit.json"):
        (tmp_path / name).touch()
    layout.clear(tmp_path)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"last.ckpt", ".lock", "fit.json"}


def test_the_newest_run_is_the_one_that_wrote_last(tmp_path: Path) -> None:
    for name, time in (("a", 2), ("b", 1), ("c", 3)):
        (tmp_path / "toys" / name / "checkpoints").mkdir(parents=True)
        if name != "c":
            path = tmp_path / "toys" / name / "checkpoints" / layout.BEST
            path.touch()
            os.utime(path, (time, time))
    file = f"checkpoints/{layout.BEST}"
    found = layout.newest_run(tmp_path / "toys", file)
    assert found == tmp_path / "toys" / "a", "b is older, c has none"
    assert layout.newest_run(tmp_path / "toys" / "b", file) == tmp_path / "toys" / "b"
    assert layout.newest_run(tmp_path / "toys", layout.METRICS) is None
    assert layout.run_of(found / "checkpoints" / layout.BEST) == found
    assert layout.run_of(tmp_path / "elsewhere.ckpt") is None


def test_older_files_are_renamed_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    for number in range(3):
        write_text(set_aside(path), str(number))
    assert [(tmp_path / name).read_text() for name in ("metrics.1.json", "metrics.2.json", "metrics.json")] == [
        "0",
        "1",
        "2",
    ]


def test_a_file_that_cannot_be_finished_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "fit.json", "whole")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "fit.json", "ha")
    assert (tmp_path / "fit.json").read_text() == "whole"

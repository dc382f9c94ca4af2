from __future__ import annotations

from pathlib import Path

import pytest

from genrec.errors import GenrecError
from genrec.io.files import write_new


def test_what_fails_in_the_middle_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    path.write_text("old")

    def fail(unfinished: Path) -> None:
        unfinished.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_new(path, fail)
    assert [file.name for file in tmp_path.iterdir()] == ["table.md"]
    assert path.read_text() == "old"


def test_the_suffix_is_that_of_the_path(tmp_path: Path) -> None:
    seen = []
    write_new(tmp_path / "deep" / "figure.png", lambda path: seen.append(path.suffix) or path.touch())
    assert seen == [".png"]
    assert (tmp_path / "deep" / "figure.png").exists()


def test_an_older_file_is_renamed_which_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "best.csv"
    for text in ("old", "new"):
        write_new(path, lambda unfinished, text=text: unfinished.write_text(text))  # type: ignore[misc]
    assert (path.read_text(), (tmp_path / "best.1.csv").read_text()) == ("new", "old")
    assert capsys.readouterr().err == f"{path} was there before: that is {tmp_path / 'best.1.csv'} now\n"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GenrecError, match="cannot write"):
        write_new(tmp_path / "file" / "table.md", lambda path: path.touch())

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from genrec.io import folders
from genrec.io.folders import MANIFEST, build_once, distrust_damaged, is_intact

FORK = multiprocessing.get_context("fork")


def build(log: Path, steps: int = 3, pause: float = 0.0):
    def files(folder: Path, scratch: Path) -> None:
        with log.open("a") as file:
            file.write("built\n")
        for step in range(steps):
            (scratch / f"note{step}").write_text("scratch")
            (folder / f"part{step}").write_bytes(bytes([step]) * 100_000)
            time.sleep(pause)

    return files


def whole(folder: Path, steps: int = 3) -> bool:
    return all((folder / f"part{step}").read_bytes() == bytes([step]) * 100_000 for step in range(steps))


def test_built_once_and_found_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    folders = {build_once(tmp_path / "store", "rows", {"k": 1}, build(log)) for _ in range(3)}
    assert len(folders) == 1
    assert whole(folders.pop())
    assert log.read_text() == "built\n"
    assert build_once(tmp_path / "store", "rows", {"k": 2}, build(log)) not in folders
    assert log.read_text() == "built\n" * 2


@pytest.mark.parametrize("damage", ["gone", "changed", "no manifest", "half a manifest"])
def test_what_is_damaged_is_built_anew(tmp_path: Path, damage: str) -> None:
    log = tmp_path / "log"
    folder = build_once(tmp_path, "rows", {}, build(log))
    if damage == "gone":
        (folder / "part1").unlink()
    elif damage == "changed":
        (folder / "part1").write_bytes(bytes(100_000))
    elif damage == "no manifest":
        (folder / MANIFEST).unlink()
    else:
        (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:40])
    assert not is_intact(folder)
    assert whole(build_once(tmp_path, "rows", {}, build(log)))
    assert log.read_text() == "built\n" * 2


def test_contents_are_read_where_times_are_others_or_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    hashed = folders.sha256
    monkeypatch.setattr(folders, "sha256", lambda path: read.append(path.name) or hashed(path))
    folder = build_once(tmp_path, "rows", {}, build(tmp_path / "log"))
    parts = ["part0", "part1", "part2"]
    assert read == parts, "once, when they were made"
    assert is_intact(folder)
    assert read == parts
    os.utime(folder / "part1", ns=(5, 5))
    for _ in range(2):
        assert is_intact(folder)
    assert read == [*parts, "part1"], "the manifest has the new time"
    assert is_intact(folder, contents=True)
    assert read == [*parts, "part1", *parts]


def test_damage_that_left_size_and_time_is_found_when_asked(tmp_path: Path) -> None:
    log = tmp_path / "log"
    folder, other = (build_once(tmp_path, name, {}, build(log)) for name in ("rows", "others"))
    before = (folder / "part1").stat()
    (folder / "part1").write_bytes(bytes([7]) * 100_000)
    os.utime(folder / "part1", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert is_intact(folder)
    assert not is_intact(folder, contents=True)
    assert distrust_damaged(tmp_path) == [folder]
    assert whole(build_once(tmp_path, "rows", {}, build(log)))
    assert distrust_damaged(tmp_path) == []
    assert is_intact(other)


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path, scratch: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        build_once(tmp_path, "rows", {}, fail)
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def _in_another_process(root: Path, log: Path, pause: float) -> None:
    build_once(root, "rows", {}, build(log, pause=pause))


def test_processes_at_the_same_time_build_once(tmp_path: Path) -> None:
    processes = [FORK.Process(target=_in_another_process, args=(tmp_path / "s", tmp_path / "log", 0.05)) for _ in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / "log").read_text() == "built\n"


def test_killed_at_any_moment_nothing_is_trusted_wrongly(tmp_path: Path) -> None:
    rng = random.Random(0)
    for attempt in range(20):
        root, log = tmp_path / str(attempt), tmp_path / "log"
        process = FORK.Process(target=_in_another_process, args=(root, log, 0.01))
        process.start()
        time.sleep(rng.uniform(0, 0.06))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        for folder in root.glob("rows-*"):
            assert whole(folder), "a folder under its own name is whole"
            json.loads((folder / MANIFEST).read_text())
        assert whole(build_once(root, "rows", {}, build(log)))
        assert not list(root.glob(".*.unfinished/result"))

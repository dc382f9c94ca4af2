from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

from genrec.study.processes import LOCK, claim, claimed, execute


def test_a_command_in_a_process_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with claim(tmp_path) as lock:
        assert lock
        assert execute(["--help"], log, lock) is None
        assert "usage: genrec" in log.read_text()
        said = execute(["compare", "--nothing"], log, lock)
    assert said == log.read_text().splitlines()[-1]
    assert said.startswith("genrec: error: genrec compare: ")
    assert log.read_text().startswith("usage: genrec"), "a log goes on"


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    assert not claimed(folder)
    assert not folder.exists()
    with claim(folder) as first, claim(folder) as second:
        assert first
        assert second is None
        assert claimed(folder)
    assert not claimed(folder)


def test_who_only_looks_takes_nothing_from_anybody(tmp_path: Path) -> None:
    with claim(tmp_path):
        pass
    with (tmp_path / LOCK).open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not claimed(tmp_path), "two may look"
        looked = threading.Timer(0.02, fcntl.flock, (other, fcntl.LOCK_UN))
        looked.start()
        with claim(tmp_path) as lock:
            assert lock is not None
        looked.join()


def test_a_process_that_outlives_its_parent_keeps_the_claim(tmp_path: Path) -> None:
    with claim(tmp_path) as lock:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdin=lock)
    assert claimed(tmp_path)
    child.kill()
    child.wait()
    assert not claimed(tmp_path)

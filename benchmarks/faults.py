"""What is lost when a training is killed, its disk is full, or two of them write: a table, and exit code 1 if any is.

    python benchmarks/faults.py [--kills 50] [--seed 0]

Every fault happens to a small SASRec in processes of its own. It held if the training that goes on (or the same command
again) ends with the metrics of one that nothing happened to, or if the command ended with one line and exit code 2. No
checkpoint may be left that is not whole.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from genrec.errors import GenrecError
from genrec.restoring import read

CONFIG = """
compose: [synthetic_sasrec.yaml]
data: {batch_size: 8, source: {init_args: {users: 200, items: 150}}}
model: {init_args: {dim: 32}}
trainer: {max_epochs: 4, enable_progress_bar: false, enable_model_summary: false, logger: csv}
last: {steps: 3}
"""
FIT = ("fit", "--config", "shop.yaml")
RESUME = (*FIT, "--ckpt_path", "last")
SMALL_DISK = 30_000
"""Bytes that a file may have where the disk is full; a checkpoint has more."""


class Shop:
    """A folder of its own to train in.

    Args:
        folder: where; made anew.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "shop.yaml").write_text(CONFIG)

    def start(
        self, *command: str, env: Mapping[str, str] | None = None, limit: Callable[[], None] | None = None
    ) -> subprocess.Popen[str]:
        """Begin a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "genrec", *command],
            cwd=self.folder,
            env=env or os.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limit,
        )

    def run(self, *command: str, **how: Any) -> tuple[int, str]:
        """The exit code of a command, and what it said on standard error."""
        process = self.start(*command, **how)
        said = process.communicate()[1]
        return process.returncode, said

    def checkpoints(self) -> Iterator[Path]:
        """Those of all runs, unfinished ones under other names left out."""
        return self.folder.glob("runs/*/*/checkpoints/*.ckpt")

    def whole(self) -> bool:
        """Whether all checkpoints are."""
        try:
            for path in self.checkpoints():
                read(path)
        except GenrecError:
            return False
        return True

    def metrics(self) -> Any:
        """Of the newest run, tested now."""
        code, said = self.run("test", "--config", "shop.yaml")
        assert code == 0, said
        path = max(self.folder.glob("runs/*/*/metrics.json"), key=lambda file: file.stat().st_mtime_ns)
        return json.loads(path.read_text())["settings"]

    def go_on(self) -> Any:
        """What the training that goes on ends with."""
        last = any(path.name == "last.ckpt" for path in self.checkpoints())
        code, said = self.run(*(RESUME if last else FIT))
        assert code == 0, said
        return self.metrics()


def killed(shop: Shop, expected: Any, seconds: float) -> bool:
    """A fit that is killed after so many seconds and goes on."""
    process = shop.start(*FIT)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return shop.whole() and bool(shop.go_on() == expected)


def full_disk(shop: Shop, expected: Any) -> bool:
    """A fit whose files cannot grow; with room again it comes to its end."""
    limit = (SMALL_DISK, SMALL_DISK)
    refused = _refused(shop.run(*FIT, limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)))
    return refused and shop.whole() and bool(shop.go_on() == expected)


def read_only(shop: Shop, expected: Any) -> bool:
    """A folder of runs that cannot be made."""
    return _refused(shop.run(*FIT, "--runs", "/proc/runs")) and not any(shop.checkpoints())


def no_home(shop: Shop, expected: Any) -> bool:
    """Nobody's process."""
    env = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    return shop.run(*FIT, env=env)[0] == 0 and bool(shop.metrics() == expected)


def two_writers(shop: Shop, expected: Any) -> bool:
    """Two processes that go on with one run at the same time: one does, the other is refused."""
    assert shop.run(*FIT, "--trainer.max_epochs", "1")[0] == 0
    # Longer than a process needs to start, so that they meet.
    processes = [shop.start(*RESUME, "--trainer.max_epochs", "40") for _ in range(2)]
    ended = [(process, process.communicate()[1]) for process in processes]
    codes = sorted(process.returncode for process, _ in ended)
    return codes == [0, 2] and any(_refused((process.returncode, said)) for process, said in ended) and shop.whole()


def _refused(result: tuple[int, str]) -> bool:
    code, said = result
    return code == 2 and "Traceback" not in said and said.splitlines()[-1].startswith("genrec: error: ")


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as scratch:
        numbers = iter(range(10**6))

        def shop() -> Shop:
            return Shop(Path(scratch) / str(next(numbers)))

        calm = shop()
        start = time.monotonic()
        code, said = calm.run(*FIT)
        assert code == 0, said
        seconds = time.monotonic() - start
        expected = calm.metrics()
        print("| what happens | times | held |\n| --- | ---: | ---: |", flush=True)
        held = 0
        for _ in range(chosen.kills):
            place = shop()
            held += killed(place, expected, draw.uniform(0, seconds))
            shutil.rmtree(place.folder)
        rows = [("killed at a random moment of `fit`, and gone on with: the same metrics", chosen.kills, held)]
        _print(rows[-1])
        for name, fault in (
            ("the disk is full: one line, no half checkpoint, the same metrics with room again", full_disk),
            ("the folder of runs cannot be written: one line", read_only),
            ("no `HOME`: the same metrics", no_home),
            ("two processes go on with one run: one does, the other is refused in one line", two_writers),
        ):
            rows.append((name, 1, int(fault(shop(), expected))))
            _print(rows[-1])
    sys.exit(any(times != good for _, times, good in rows))


def _print(row: tuple[str, int, int]) -> None:
    print(f"| {row[0]} | {row[1]} | {row[2]} |", flush=True)


if __name__ == "__main__":
    main()

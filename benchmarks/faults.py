"""What is lost when a training is killed, its disk is full, or two of them write: a table, and exit code 1 if any is.

    python -m benchmarks.faults [--kills 50] [--stops 10] [--seed 0]

It held if the training that goes on ends with the metrics and the parameters of one that nothing happened to, to the
last bit, or if the command ended with one line and exit code 2. No checkpoint may be left that is not whole. A file
system of a megabyte and folders of another user take root; without it they are left out, which the table says.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.shops import CONFIGS, Moment, Shop, refused

SASREC, SAVE = "genrec.recommenders.sasrec:SASRec", "torch:save"
LAST = "genrec.training.callbacks:LastCheckpoint"
KILLS: dict[str, tuple[str, Callable[[random.Random], Moment | None]]] = {
    "killed at a random moment of `fit`": ("sasrec", lambda draw: None),
    "killed before the first checkpoint": (
        "sasrec",
        lambda draw: Moment(f"{SASREC}.training_step", draw.randint(1, 3)),
    ),
    "killed while a checkpoint is written": ("sasrec", lambda draw: Moment(SAVE, draw.randint(1, 15), draw.random())),
    "killed between two epochs": ("sasrec", lambda draw: Moment(f"{LAST}.on_train_epoch_end", draw.randint(1, 3))),
    "killed in a validation": ("sasrec", lambda draw: Moment(f"{SASREC}.validation_step", draw.randint(1, 6))),
    "killed while an asset is built": ("setrec", lambda draw: draw.choice([_training(draw), _writing(draw)])),
}
"""What is trained, and when it is killed; None is at any time."""

NOBODY = 65534
ROOM = 2**20
"""Bytes of a full disk: several checkpoints, and not one more."""
LARGEST = 30_000
"""Bytes of a file where none may be larger; a checkpoint is."""


def _training(draw: random.Random) -> Moment:
    return Moment(f"{SASREC}.training_step", draw.randint(1, 3))


def _writing(draw: random.Random) -> Moment:
    return Moment("numpy:save", draw.randint(1, 2), draw.random())


def killed(
    shop: Shop, moment: Moment | None, seconds: float, environment: Mapping[str, str] | None = None
) -> bool | None:
    """A fit that is killed and goes on; False if it lost anything, None if it had ended by then.

    Args:
        shop: where.
        moment: when; None is after some seconds.
        seconds: those.
        environment: of the fit.
    """
    process = shop.start(*shop.fit, moment=moment, environment=environment)
    if moment is None:
        time.sleep(seconds)
        process.kill()
    process.join()
    if process.exitcode == 0:
        return None
    assert process.exitcode == -signal.SIGKILL, shop.said()
    return shop.whole() and bool(shop.goes_on() == EXPECTED[shop.fit])


def asked_to_end(shop: Shop, seconds: float) -> bool | None:
    """The same, with SIGTERM."""
    process = shop.start(*shop.fit)
    time.sleep(seconds)
    process.terminate()
    process.join()
    if process.exitcode == 0:
        return None
    stopped = process.exitcode in (128 + signal.SIGTERM, -signal.SIGTERM)
    return stopped and shop.whole() and bool(shop.goes_on() == EXPECTED[shop.fit])


def full_disk(shop: Shop) -> bool:
    """A fit that fills its disk; with room again it comes to its end."""
    with mounted(shop.folder, f"size={ROOM}"):
        again = Shop(shop.folder)
        went = refused(again.from_shell(*again.fit, "--trainer.callbacks+", ALL)) and again.whole()
        subprocess.run(["mount", "-o", "remount,size=64m", shop.folder], check=True)
        return went and bool(any(again.checkpoints())) and bool(again.goes_on() == EXPECTED[shop.fit])


ALL = "{class_path: ModelCheckpoint, init_args: {dirpath: kept, save_top_k: -1, every_n_train_steps: 4}}"
"""A callback that keeps checkpoints until there is no more room."""


def small_files(shop: Shop) -> bool:
    """A fit whose files may not grow."""
    limit = (LARGEST, LARGEST)
    how: dict[str, Any] = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)}
    return refused(shop.from_shell(*shop.fit, **how)) and not any(shop.checkpoints()) and _comes_to_its_end(shop)


def read_only(shop: Shop) -> bool:
    """A disk that nothing can be written on any more, in the middle of a run that goes on."""
    with mounted(shop.folder, "size=64m"):
        again = Shop(shop.folder)
        assert again.run(*again.fit, "--trainer.max_epochs", "1") == 0
        subprocess.run(["mount", "-o", "remount,ro", shop.folder], check=True)
        return all(refused(again.from_shell(*command)) for command in (again.fit, _resume(again), again.test))


def of_another_user(shop: Shop) -> bool:
    """Somebody who is not root, in a folder and in a run of root's."""
    assert shop.run(*shop.fit, "--trainer.max_epochs", "1") == 0
    before = sorted(shop.folder.rglob("*"))
    commands = shop.fit, _resume(shop), shop.test
    home = {"HOME": "/nonexistent"}
    codes = ((shop.run(*command, user=NOBODY, environment=home), shop.said()) for command in commands)
    return all(map(refused, codes)) and sorted(shop.folder.rglob("*")) == before


def no_home(shop: Shop) -> bool:
    """Nobody's process."""
    env = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    return shop.from_shell(*shop.fit, env=env)[0] == 0 and bool(shop.ends() == EXPECTED[shop.fit])


def other_disk(shop: Shop) -> bool:
    """`TMPDIR` is on another disk than the run, which is killed while it writes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as there:
        assert Path(there).stat().st_dev != shop.folder.stat().st_dev
        return bool(killed(shop, Moment(SAVE, 8, 0.5), 0, {"TMPDIR": there}))


def two_go_on(shop: Shop) -> bool:
    """Two processes that go on with one run at the same time: one does, the other is refused."""
    assert shop.run(*shop.fit, "--trainer.max_epochs", "1") == 0
    processes = [shop.start(*_resume(shop)) for _ in range(2)]
    for process in processes:
        process.join()
    codes = sorted(process.exitcode or 0 for process in processes)
    return codes == [0, 2] and "another process trains in" in shop.said() and shop.ends() == EXPECTED[shop.fit]


def two_begin(shop: Shop) -> bool:
    """Two processes that begin in the same second: each has a run of its own."""
    processes = [shop.start(*shop.fit) for _ in range(2)]
    for process in processes:
        process.join()
    there = len(list(shop.folder.glob("runs/*/*/fit.json")))
    return there == 2 and shop.whole() and bool(shop.ends() == EXPECTED[shop.fit])


def closed_output(shop: Shop) -> bool:
    """Nobody listens."""
    return shop.from_shell(*shop.fit, after=">&-")[0] == 0 and bool(shop.ends() == EXPECTED[shop.fit])


def full_output(shop: Shop) -> bool:
    """Standard output goes into a file on a full disk."""
    return refused(shop.from_shell(*shop.fit, after="> /dev/full")) and _comes_to_its_end(shop)


def a_file_for_a_folder(shop: Shop) -> bool:
    """The folder of runs is a file."""
    return refused(shop.from_shell(*shop.fit, "--runs", "/etc/passwd")) and not any(shop.checkpoints())


FAULTS: dict[str, tuple[bool, Callable[[Shop], bool]]] = {
    "the disk is full: one line, no half checkpoint; the same with room again": (True, full_disk),
    "files may not be so large (`ulimit -f`): the same": (False, small_files),
    "the disk becomes read-only: one line, of `fit`, of one that goes on, of `test`": (True, read_only),
    "the folder belongs to another user: the same three": (True, of_another_user),
    "no `HOME`: nothing is otherwise": (False, no_home),
    "`TMPDIR` is on another disk, killed while it writes: the same when gone on with": (
        False,
        other_disk,
    ),
    "two processes go on with one run: one does, the other is refused in one line": (False, two_go_on),
    "two processes begin in the same second: each has its own run": (False, two_begin),
    "standard output is closed: nothing is otherwise": (False, closed_output),
    "standard output is full: one line": (False, full_output),
    "`--runs /etc/passwd`: one line": (False, a_file_for_a_folder),
}
"""What else happens, and whether it takes root."""

EXPECTED: dict[Sequence[str], Any] = {}
"""What a fit ends with that nothing happens to."""


def _resume(shop: Shop) -> tuple[str, ...]:
    return (*shop.fit, "--ckpt_path", "last")


def _comes_to_its_end(shop: Shop) -> bool:
    return bool(shop.goes_on() == EXPECTED[shop.fit])


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own in a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of `fit`, of every kind about as many")
    parser.add_argument("--stops", type=int, default=10, help="by SIGTERM")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    rows: list[tuple[str, int, int]] = []

    def tell(name: str, held: Sequence[bool]) -> None:
        rows.append((name, len(held), sum(held)))
        print(f"| {name} | {len(held)} | {sum(held)} |", flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        # Others may look into it: it is their rights that are tried.
        os.chmod(scratch, 0o755)
        numbers = iter(range(10**6))

        @contextmanager
        def shop(config: str = "sasrec") -> Iterator[Shop]:
            place = Shop(Path(scratch) / str(next(numbers)), config)
            yield place
            shutil.rmtree(place.folder)

        def again(fault: Callable[[Shop], bool | None], config: str = "sasrec") -> bool:
            """Until it came in time."""
            while True:
                with shop(config) as here:
                    if (held := fault(here)) is not None:
                        return held

        for config in CONFIGS:
            with shop(config) as calm:
                # The first process of all takes as long as the imports do.
                assert calm.run("prepare", *calm.fit[1:]) == 0, calm.said()
                start = time.monotonic()
                assert calm.run(*calm.fit) == 0, calm.said()
                seconds = time.monotonic() - start
                EXPECTED[calm.fit] = calm.ends()
            print(f"{config}: {seconds:.1f} s", file=sys.stderr, flush=True)
            if config == "sasrec":
                usual = seconds
        print("| what happens | times | held |\n| --- | ---: | ---: |", flush=True)
        for place, (name, (config, moment)) in enumerate(KILLS.items()):
            times = len(range(place, chosen.kills, len(KILLS)))

            def kill(here: Shop, moment: Any = moment) -> bool | None:
                return killed(here, moment(draw), draw.uniform(0, usual))

            tell(
                f"{name}, and gone on with: the same metrics and parameters",
                [again(kill, config) for _ in range(times)],
            )
        held = [again(lambda here: asked_to_end(here, draw.uniform(0, usual))) for _ in range(chosen.stops)]
        tell("asked to end (SIGTERM) at a random moment: exit code 143; the same when gone on with", held)
        for name, (needs_root, fault) in FAULTS.items():
            if needs_root and os.getuid():
                print(f"| {name} | needs root | |", flush=True)
                continue
            with shop() as here:
                tell(name, [fault(here)])
    sys.exit(any(times != good for _, times, good in rows))


if __name__ == "__main__":
    main()

"""What a command's start costs: seconds and memory of imports, help and small commands, of two checkouts in turn.

python benchmarks/start.py OLD NEW [--rounds 5]

Each checkout is a folder with `src` and `baselines`. Every command runs in a process of its own, first of one checkout
and then of the other, so that what else a machine does meets both; a first round that is not counted warms the files.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

SMALL = "--data.source.init_args.users=200 --data.source.init_args.items=150"
REPORT = "runs/synthetic_popularity"
COMMANDS = (
    "--help",
    "fit --help",
    "test --help",
    "recommend --help",
    f"test --config synthetic_popularity.yaml {SMALL}",
    f"report {REPORT}",
)


class Cost(NamedTuple):
    """Of one process: seconds of the clock and of the processor, and MB of memory at its peak."""

    seconds: float
    processor: float
    megabytes: float


def cost(code: Sequence[str], checkout: Path, folder: Path) -> Cost:
    """Run python with a checkout on the path, in a folder."""
    path = os.pathsep.join(str(checkout / part) for part in ("src", "baselines"))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    start = os.times().elapsed
    process = subprocess.Popen([sys.executable, *code], cwd=folder, env=environment, **pipes)  # type: ignore[call-overload]
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(code)} of {checkout}: {said.decode()[-500:]}")
    return Cost(os.times().elapsed - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    checkouts = [arguments.old.resolve(), arguments.new.resolve()]
    print("medians, old and new, and new / old\n\ncommand | seconds | processor | MB\n--- | --- | --- | ---")
    with tempfile.TemporaryDirectory() as root:
        folders = [Path(root, name) for name in ("old", "new")]
        for folder in folders:
            folder.mkdir()
        for code in (["-c", "import genrec"], *(["-m", "genrec", *command.split()] for command in COMMANDS)):
            rounds = [
                [cost(code, checkout, folder) for checkout, folder in zip(checkouts, folders, strict=True)]
                for _ in range(arguments.rounds + 1)
            ][1:]
            cells = []
            for measure in range(len(Cost._fields)):
                old, new = (median(pair[place][measure] for pair in rounds) for place in range(2))
                cells.append(f"{old:.2f} {new:.2f} {new / old:.2f}")
            name = "import genrec" if code[0] == "-c" else " ".join(code[1:])
            print(" | ".join([name, *cells]), flush=True)


if __name__ == "__main__":
    main()

"""Small trainings for `benchmarks/faults.py`, in folders and processes of their own, that die where they are told."""

from __future__ import annotations

import itertools
import json
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from genrec.cli import main
from genrec.errors import GenrecError
from genrec.io.checkpoints import read

SHARED = "{enable_progress_bar: false, enable_model_summary: false, logger: csv, max_epochs: %d}"
CONFIGS = {
    "sasrec": f"""
compose: [synthetic_sasrec.yaml]
data: {{batch_size: 16, rank_batch_size: 40, source: {{init_args: {{users: 200, items: 150}}}}}}
model: {{init_args: {{dim: 32}}}}
trainer: {SHARED % 3}
last: {{steps: 3}}
""",
    "setrec": f"""
compose: [data/synthetic.yaml, backbone/t5_mini.yaml, identifier/setrec.yaml, trainer/quick.yaml]
data: {{batch_size: 64, max_history: 6, source: {{init_args: {{users: 200, items: 150}}}}}}
assets: {{cf: {{init_args: {{max_epochs: 3}}}}}}
model: {{init_args: {{backbone: {{init_args: {{sizes: {{d_model: 16, d_kv: 8, d_ff: 16, num_heads: 2}}}}}}}}}}
trainer: {SHARED % 1}
""",
}
"""What is trained: a SASRec with a checkpoint every third step, and a SETRec whose embeddings have to be built."""

_PROCESSES = get_context("forkserver")
# They begin with everything imported, so that a kill costs seconds.
_PROCESSES.set_forkserver_preload(["genrec.training.command"])


@dataclass(frozen=True)
class Moment:
    """A call in which a process kills itself.

    Args:
        call: of what: ``module:name`` or ``module:class.name``.
        count: the so-manieth.
        part: how much of the file that it writes is left; None lets it not begin.
    """

    call: str
    count: int
    part: float | None = None

    def await_it(self) -> None:
        """Let this process die in it."""
        owner, _, name = self.call.replace(":", ".").rpartition(".")
        place = pkgutil.resolve_name(owner)
        usual, numbers = getattr(place, name), itertools.count(1)

        def dying(*arguments: Any, **options: Any) -> Any:
            if next(numbers) < self.count:
                return usual(*arguments, **options)
            if self.part is not None:
                usual(*arguments, **options)
                file = next(each for each in arguments if isinstance(each, Path))
                os.truncate(file, int(self.part * file.stat().st_size))
            return os.kill(os.getpid(), signal.SIGKILL)

        setattr(place, name, dying)


class Shop:
    """A folder of its own to train in.

    Args:
        folder: where; made if it is not there.
        config: one of `CONFIGS`.
    """

    def __init__(self, folder: Path, config: str = "sasrec") -> None:
        self.folder = folder
        self.fit = ("fit", "--config", f"{config}.yaml")
        self.test = ("test", "--config", f"{config}.yaml")
        folder.mkdir(exist_ok=True)
        (folder / f"{config}.yaml").write_text(CONFIGS[config])

    def start(
        self,
        *command: str,
        moment: Moment | None = None,
        user: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> BaseProcess:
        """Begin a command.

        Args:
            command: of genrec.
            moment: in which it dies.
            user: whose process it is; None is ours.
            environment: what of it is otherwise.
        """
        process = _PROCESSES.Process(target=_work, args=(self.folder, command, moment, user, environment or {}))
        process.start()
        return process

    def run(self, *command: str, **how: Any) -> int:
        """The exit code of a command that is begun by `start`."""
        process = self.start(*command, **how)
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    def from_shell(self, *command: str, after: str = "", **how: Any) -> tuple[int, str]:
        """The exit code of a command that a shell starts, and what it said on standard error.

        Args:
            command: of genrec.
            after: what stands behind it, such as ``>&-``.
            how: further options of `subprocess.run`.
        """
        line = ["sh", "-c", f'"$0" -m genrec "$@" {after}', sys.executable, *command]
        how = {"stdout": subprocess.DEVNULL, **how}
        done = subprocess.run(line, cwd=self.folder, stderr=subprocess.PIPE, text=True, check=False, **how)
        return done.returncode, done.stderr

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

    def ends(self) -> Any:
        """What the newest run has come to: its metrics on the test users, and its last parameters as bytes.

        Nothing that was begun lies about in it.
        """
        assert self.run(*self.test) == 0, self.said()
        metrics = max(self.folder.glob("runs/*/*/metrics.json"), key=lambda file: file.stat().st_mtime_ns)
        assert not list(metrics.parent.rglob(".*")), sorted(metrics.parent.rglob(".*"))
        weights = torch.load(metrics.parent / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        parameters = {name: weight.numpy().tobytes() for name, weight in weights.items()}
        return json.loads(metrics.read_text())["settings"], parameters

    def goes_on(self) -> Any:
        """What the training ends with that goes on in its run, or begins anew if it had not come to a checkpoint."""
        assert self.run(*self.fit, "--requeue", "true") == 0, self.said()
        return self.ends()

    def said(self) -> str:
        """The end of all that was said by those that `start` began."""
        log = self.folder / "log"
        return log.read_text()[-2000:] if log.exists() else ""


def refused(result: tuple[int, str]) -> bool:
    """Whether a command ended with one line and exit code 2."""
    code, said = result
    return code == 2 and "Traceback" not in said and said.splitlines()[-1].startswith("genrec: error: ")


def _work(
    folder: Path, command: tuple[str, ...], moment: Moment | None, user: int | None, environment: Mapping[str, str]
) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    with open("log", "ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    if moment:
        moment.await_it()
    main(command)

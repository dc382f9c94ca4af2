"""``python COMMAND`` in processes of their own that begin with everything imported, which saves seconds for each."""

from __future__ import annotations

import gc
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import NamedTemporaryFile

NEEDED = [
    *("genrec.training.command", "genrec.serving.served", "genrec_baselines", "transformers.models.t5.modeling_t5"),
    *("peft", "pyarrow", "sklearn.feature_extraction.text", "tensorboard.summary"),
]
"""What most commands import, soon or late."""

_PROCESSES = get_context("forkserver")
# All are forked from one that has imported these, and has done nothing else.
_PROCESSES.set_forkserver_preload(NEEDED)


def start(*command: str, environment: Mapping[str, str] | None = None, output: str = os.devnull) -> BaseProcess:
    """Begin a command in the working folder.

    Args:
        command: a script or ``-m MODULE``, and its arguments.
        environment: what of it is otherwise.
        output: the file that gets what is said, on standard error too.
    """
    process = _PROCESSES.Process(target=_work, args=(command, os.getcwd(), environment or {}, output))
    process.start()
    return process


def end(process: BaseProcess, timeout: float = 300) -> int:
    """Wait for a process: what it ended with."""
    process.join(timeout)
    code = process.exitcode
    process.kill()
    assert code is not None, f"it has not ended within {timeout} seconds"
    return code


def run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """What a command says that ends well."""
    with NamedTemporaryFile("r") as output:
        code = end(start(*command, environment=environment, output=output.name))
        said = output.read()
    assert code == 0, said[-3000:]
    return said


def genrec(*arguments: str) -> str:
    """See `run`."""
    return run("-m", "genrec", *arguments)


def _work(command: Sequence[str], folder: str, environment: Mapping[str, str], output: str) -> None:
    # What all begin with is no garbage.
    gc.freeze()
    os.chdir(folder)
    os.environ.update(environment)
    with open(output, "w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    if command[0] == "-m":
        sys.argv = list(command[1:])
        sys.path.insert(0, folder)
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(command)
        sys.path.insert(0, str(Path(command[0]).parent))
        runpy.run_path(command[0], run_name="__main__")

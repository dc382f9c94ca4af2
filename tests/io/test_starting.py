"""What a command imports before it does anything, and what takes the compiler's place until somebody compiles."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from genrec.io import starting
from genrec.io.starting import COMPILER, quick_imports

SHORT = ("report", "compare", "study", "tune", "inspect", "recommend")
LIGHT = ["--help", "nosuch", *(f"{name} --help" for name in SHORT)]
"""Commands that end before anything is computed."""
LARGE = [
    "faiss",
    "matplotlib",
    "peft",
    "pyarrow.lib",
    "scipy.signal",
    "sentence_transformers",
    "sklearn",
    "sympy",
    "tensorboard",
    "torch._dynamo",
    "torch.distributed.fsdp",
    "transformers.modeling_utils",
]
"""What takes long to import or much memory, and is for some commands and configs alone."""
STARTS = f"""
import gc
import sys
from genrec.cli import main

def run(line):
    try:
        main(line.split())
    except SystemExit:
        pass

for line in {LIGHT}:
    run(line)
    assert "torch" not in sys.modules, line
# What is written into tables of many parts is pyarrow's.
TEST = "test --config synthetic_popularity.yaml --data.source.init_args.users=60"
for line, needed in [("fit --help", set()), (TEST, {{"pyarrow.lib"}})]:
    run(line)
    loaded = set({LARGE}) & set(sys.modules)
    assert loaded == needed, (line, loaded)
assert gc.get_freeze_count() > 100_000, "what stays is looked through for garbage"
"""


@pytest.mark.skipif(torch.__version__ < "2.13", reason="torch 2.7 imports its compiler by itself")
def test_commands_import_what_they_need(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", STARTS], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "genrec: error: there is no command `nosuch`; `genrec --help` lists them\n"
    assert "wrote runs/synthetic_popularity" in done.stdout


def test_garbage_is_looked_for_again() -> None:
    with quick_imports():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_compiled_module_is_one() -> None:
    linear = nn.Linear(2, 2)
    assert not isinstance(linear, starting._OptimizedModule)
    assert isinstance(torch.compile(linear, backend="eager"), starting._OptimizedModule)


def test_the_compiler_leaves_alone_what_it_is_told_to() -> None:
    compiling = []

    @starting._Later.disable
    def alone(numbers: Tensor) -> Tensor:
        compiling.append(torch.compiler.is_compiling())
        return numbers + 1

    @torch.compile(backend="eager")
    def twice(numbers: Tensor) -> Tensor:
        return alone(numbers * 2) * 2

    assert twice(torch.ones(1)).item() == alone(torch.tensor(5.0)).item()
    assert compiling == [False, False]


def test_a_version_that_asks_for_more_gets_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def import_module(name: str) -> ModuleType:
        asked.append((name, COMPILER in sys.modules))
        if COMPILER in sys.modules:
            raise ImportError("cannot import name `eval_frame`")
        return ModuleType(name)

    monkeypatch.delitem(sys.modules, COMPILER, raising=False)
    monkeypatch.delitem(sys.modules, "lightning")
    monkeypatch.setattr(starting, "import_module", import_module)
    with quick_imports():
        assert asked == [("lightning.pytorch", True), ("lightning.pytorch", False)]

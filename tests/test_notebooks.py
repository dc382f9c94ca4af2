"""The notebooks run as they stand, and hold what a reader of the repository wants to see: tables and pictures."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerBase
from nbclient import NotebookClient
from nbformat import NotebookNode

from genrec.identifiers import ItemIdentifier
from genrec.testing.contract import IdentifierContract

from . import forks

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NAMES = ["01_data_and_splits", "02_train_and_compare", "03_cold_items", "04_your_own_identifier"]
PICTURE = "image/png"


def read(name: str) -> NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def pictures(notebook: NotebookNode) -> int:
    return sum(PICTURE in output.get("data", {}) for output in outputs(notebook))


def texts(notebook: NotebookNode) -> str:
    """Everything that the cells have put out, but for pictures."""
    parts = [output.get("text", "") for output in outputs(notebook)]
    shown = [output.get("data", {}) for output in outputs(notebook)]
    return "\n".join([*parts, *(str(value) for data in shown for kind, value in data.items() if kind != PICTURE)])


def definitions(notebook: NotebookNode) -> list[str]:
    """The functions and classes that the cells define; a file that a cell writes is no part of the notebook."""
    sources = [cell.source for cell in code_cells(notebook) if not cell.source.startswith("%%writefile ")]
    trees = [ast.parse(re.sub(r"^%%capture\n", "", source)) for source in sources]
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
    return [ast.unparse(node) for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)]


def written_files(notebook: NotebookNode) -> list[str]:
    found = [re.match(r"%%writefile (\S+\.py)\n", cell.source) for cell in code_cells(notebook)]
    return [match[1] for match in found if match]


def test_these_are_all_notebooks() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_only_calls_the_library(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    assert definitions(notebook) == []
    assert written_files(notebook) == (["text_vector.py"] if name == "04_your_own_identifier" else [])


@pytest.mark.parametrize("name", NAMES)
def test_what_a_notebook_imports_of_the_library_is_there(name: str) -> None:
    sources = [re.sub(r"^%%.*\n", "", cell.source) for cell in code_cells(read(name)) if ".yaml\n" not in cell.source]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    wanted = [(node.module, part.name) for node in nodes for part in node.names if (node.module or "")[:6] == "genrec"]
    assert wanted
    for module, part in wanted:
        assert hasattr(import_module(module or ""), part), f"{module}.{part}"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_holds_the_outputs_of_one_clean_run(name: str) -> None:
    notebook = read(name)
    assert notebook.metadata.kernelspec.name == "python3"
    assert [cell.execution_count for cell in code_cells(notebook)] == [*range(1, len(code_cells(notebook)) + 1)]
    assert pictures(notebook) >= 1
    assert not [
        output for output in outputs(notebook) if output.output_type == "error" or output.get("name") == "stderr"
    ]
    machine = re.search(r"/(tmp|home|root|work|Users)/|site-packages|\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", texts(notebook))
    assert machine is None, machine


class TestTextVector(IdentifierContract):
    """The identifier that a notebook writes into a file."""

    def make(self) -> ItemIdentifier:
        sources = [cell.source for cell in code_cells(read(NAMES[3]))]
        (source,) = [source for source in sources if source.startswith("%%writefile text_vector.py")]
        defined: dict[str, Any] = {"__name__": "text_vector"}
        exec(source.partition("\n")[2], defined)
        return defined["TextVector"]()


class ForkedKernel(KernelProvisionerBase):
    """The process of a kernel, that began with everything imported."""

    def __init__(self, process: BaseProcess) -> None:
        super().__init__()
        self.process = process

    @property
    def has_process(self) -> bool:
        return True

    async def poll(self) -> int | None:
        return self.process.exitcode

    async def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    async def send_signal(self, signum: int) -> None:
        os.kill(self.process.pid or 0, signum)

    async def kill(self, restart: bool = False) -> None:
        self.process.kill()

    async def terminate(self, restart: bool = False) -> None:
        self.process.terminate()

    async def launch_kernel(self, cmd: list[str], **_: Any) -> dict[str, Any]:
        raise NotImplementedError("it runs")

    async def cleanup(self, restart: bool = False) -> None:
        pass


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AsyncKernelManager]:
    monkeypatch.chdir(tmp_path)
    manager = AsyncKernelManager(connection_file=str(tmp_path / "kernel.json"))
    manager.write_connection_file()
    # TMPDIR is where a notebook makes its own folder.
    environment = dict.fromkeys(("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"), str(tmp_path))
    # Without the flag, figures are shown in the notebook where nothing has imported matplotlib before.
    command = ("-m", "ipykernel_launcher", "-f", manager.connection_file, "--matplotlib=inline")
    process = forks.start(*command, environment=environment)
    manager.provisioner = ForkedKernel(process)
    yield manager
    process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs(name: str, kernel: AsyncKernelManager) -> None:
    notebook, expected = read(name), pictures(read(name))
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    # A cell that fails is an error of the client's, with the cell and its traceback.
    NotebookClient(notebook, km=kernel, timeout=1800).execute()
    assert pictures(notebook) == expected

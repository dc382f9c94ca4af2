"""Who may import whom: the rooms of the house, walked over the source files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.import_graph import ROOMS, circles, files_of, floors, graph_of, imports, wrong

SOURCE = Path(__file__).resolve().parents[1] / "src"
FILES = files_of(SOURCE)
GRAPH = graph_of(FILES)

FAMILY = {
    f"genrec.identifiers.{name}"
    for name in (
        "autoencoder", "base", "linear_tokens", "names", "negatives", "rows", "tables", "targets", "token_sequence",
        "vocabulary", "writer",
    )
}  # fmt: skip
"""What identifiers share; everything else in their room is an identifier."""


def test_arrows_point_up_the_list_of_rooms() -> None:
    assert not wrong(GRAPH)
    rooms = {path.stem for path in (SOURCE / "genrec").glob("*") if path.suffix in ("", ".py")} - {"__pycache__"}
    assert rooms - {"__init__", "configs"} == {room for floor in ROOMS for room in floor}


def test_nobody_imports_in_a_circle() -> None:
    assert not circles(GRAPH)
    assert floors(GRAPH)["genrec.errors"] == 0


def test_a_circle_is_found_however_long() -> None:
    ring = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("a"), "d": frozenset("a")}
    assert circles(ring) == [["a", "b", "c"]]
    assert floors({"a": frozenset(), "b": frozenset("a"), "c": frozenset("ab")}) == {"a": 0, "b": 1, "c": 2}


def test_an_arrow_down_is_found() -> None:
    down = {"genrec.data.x": frozenset({"genrec.serving.y"}), "genrec.serving.y": frozenset(), "genrec.z": frozenset()}
    assert wrong(down) == ["genrec.z is in no room", "genrec.data.x imports genrec.serving.y"]


def test_the_core_knows_no_method_of_the_baselines() -> None:
    for path in FILES.values():
        assert not [name for name in imports(path) if name.startswith("genrec_baselines")], path


def test_identifiers_do_not_import_each_other() -> None:
    for module, others in GRAPH.items():
        if module.startswith("genrec.identifiers."):
            assert {other for other in others if other.startswith("genrec.identifiers.")} <= FAMILY, module


def test_what_others_test_with_needs_nothing_but_pytest_and_what_genrec_needs() -> None:
    files = [path for module, path in FILES.items() if module.startswith("genrec.testing")]
    used = {name.partition(".")[0] for path in files for name in imports(path)} - set(sys.stdlib_module_names)
    assert used <= {"genrec", "pytest", "torch", "lightning", "numpy", "polars"}


HEAVY = ("lightning", "torchmetrics", "optuna", "matplotlib", "faiss", "sentence_transformers")


def test_what_a_notebook_imports_loads_no_trainer() -> None:
    """Transitively, whatever the libraries below import; every room imports those before it."""
    lines = [
        f"import sys, genrec.{room}; print('{room}', [name for name in {HEAVY} if name in sys.modules])"
        for room in ("data", "assets", "identifiers")
    ]
    said = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == ["data []", "assets []", "identifiers []"]

"""The rooms of the house and who imports whom: modules, floors, circles, and the longest file.

python benchmarks/import_graph.py [--root src] [--mermaid]
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from statistics import median

Graph = Mapping[str, frozenset[str]]

ROOMS = (
    ("errors", "types", "devices", "seeds"),
    ("io",),
    ("data",),
    ("assets",),
    ("backbones",),
    ("losses",),
    ("decoding",),
    ("identifiers",),
    ("evaluation",),
    ("recommenders",),
    ("config",),
    ("runs",),
    ("serving",),
    ("analysis",),
    ("web",),
    ("training",),
    ("study",),
    ("testing",),
    ("cli", "__main__"),
)
"""A module may import those of its own floor and of the floors before it, no others."""


def files_of(root: Path, package: str = "genrec") -> dict[str, Path]:
    """Every module of a package below a source root, by its dotted name."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """What a file imports by name, in functions and for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def graph_of(files: Mapping[str, Path]) -> dict[str, frozenset[str]]:
    """Which modules of a package each one imports; the packages that a module lies in are not counted."""
    graph = {}
    for module, path in files.items():
        found = set()
        for name in imports(path):
            while name and name not in files:
                name = name.rpartition(".")[0]
            if name and name != module and not module.startswith(f"{name}."):
                found.add(name)
        graph[module] = frozenset(found)
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """Modules that import each other, directly or through others (Tarjan's components of more than one)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for other in graph[module]:
            if other not in number:
                visit(other)
            if other in stack:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == number[module]:
            component = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(component) > 1:
                found.append(sorted(component))

    for module in graph:
        if module not in number:
            visit(module)
    return found


def floors(graph: Graph) -> dict[str, int]:
    """How many modules the longest chain of imports below each one has; of a graph without circles."""

    @cache
    def height(module: str) -> int:
        return max((1 + height(other) for other in graph[module]), default=0)

    return {module: height(module) for module in graph}


def room_of(module: str) -> int | None:
    """The number of a module's floor in `ROOMS`; None for the package itself."""
    name = module.split(".")[1:2]
    return next((floor for floor, rooms in enumerate(ROOMS) if name and name[0] in rooms), None)


def of_rooms(graph: Graph) -> dict[str, frozenset[str]]:
    """The same of rooms: which others the modules of each one import."""
    found: dict[str, set[str]] = {}
    for module, others in graph.items():
        room = ".".join(module.split(".")[:2])
        found.setdefault(room, set()).update(".".join(other.split(".")[:2]) for other in others)
    return {room: frozenset(others - {room}) for room, others in found.items()}


def wrong(graph: Graph) -> list[str]:
    """Imports that point down the list of `ROOMS`, and modules that are in no room."""
    found = [f"{module} is in no room" for module in graph if "." in module and room_of(module) is None]
    for module, others in graph.items():
        here = room_of(module)
        for other in sorted(others):
            there = room_of(other)
            if here is not None and there is not None and there > here:
                found.append(f"{module} imports {other}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1] / "src")
    parser.add_argument("--mermaid", action="store_true", help="print the rooms as a mermaid diagram")
    arguments = parser.parse_args()
    files = files_of(arguments.root)
    graph = graph_of(files)
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in files.items()}
    if arguments.mermaid:
        print("graph BT")
        for room, others in of_rooms(graph).items():
            print("\n".join(f"  {room} --> {other}" for other in sorted(others)))
        return
    rings = circles(graph)
    loose = [module for module, path in files.items() if module.count(".") == 1 and path.name != "__init__.py"]
    longest = max(lengths, key=lengths.__getitem__)
    print(f"modules: {len(graph)}, of them loose beside the rooms: {len(loose)}")
    print(f"imports: {sum(map(len, graph.values()))}")
    print(f"circles: {len(rings)}{''.join(chr(10) + '  ' + ' '.join(ring) for ring in rings)}")
    for name, part in (("modules", graph), ("rooms", of_rooms(graph))):
        height = "none, for its circles" if circles(part) else 1 + max(floors(part).values())
        print(f"floors of {name}: {height}")
    print(f"longest file: {longest} ({lengths[longest]} lines); median {median(lengths.values()):g}")
    for line in wrong(graph):
        print(line)


if __name__ == "__main__":
    main()

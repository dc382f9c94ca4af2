"""The site: every page is in the menu, and what its tables name exists. `make docs` builds it, warnings as errors."""

from __future__ import annotations

import importlib
import inspect
import logging
import re
import runpy
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import yaml

from genrec.cli import USAGE, main
from genrec.config.files import PACKAGED
from genrec.training.callbacks import Stopping

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in sorted(DOCS.rglob("*.md"))}
MODULES = ("data", "data.module", "assets", "backbones", "identifiers", "losses", "evaluation.protocol", "recommenders")


COMMAND_LINE = {("Trainer", "devices"): 1}
"""Defaults of the command line that are not those of the class."""


def classes() -> dict[str, Any]:
    """What a table may be about, by name."""
    known: dict[str, Any] = {}
    for name in (*(f"genrec.{name}" for name in MODULES), "genrec_baselines", "genrec_baselines.dreamrec"):
        known.update(vars(importlib.import_module(name)))
    # Ours adds no keys: it passes Lightning's on.
    return {**known, "Trainer": L.Trainer}


def rows(page: str) -> Iterator[list[str]]:
    """The rows of all tables of a page, their heads included."""
    for line in page.splitlines():
        if line.startswith("|") and not line.startswith("| ---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def keys() -> Iterator[tuple[str, str, str]]:
    """Class, key and default of every row of the tables whose head names a class."""
    for page in PAGES.values():
        name = ""
        for first, *others in rows(page):
            if others[:1] == ["default"]:
                name = first.strip("`") if first.startswith("`") else ""
            elif not re.fullmatch(r"`\w+`", first):
                name = ""
            elif name:
                yield name, first.strip("`"), others[0]


def hook(name: str) -> Any:
    pytest.importorskip("latex2mathml", reason="pip install 'genrec[docs]'")
    return runpy.run_path(str(DOCS / "hooks.py"))[name]


def menu(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from menu(value) if isinstance(value, list) else [value]


def test_every_page_is_in_the_menu() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").replace("!relative ", "")
    patterns = list(menu(yaml.safe_load(text)["nav"]))
    assert len(PAGES) > 20
    assert [page for page in PAGES if not any(fnmatch(page, pattern) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(fnmatch(page, pattern) for page in PAGES)] == []


def test_a_pattern_of_the_menu_stands_for_its_pages(tmp_path: Path) -> None:
    for name in ("a.md", "b.md"):
        (tmp_path / name).touch()
    assert hook("_expanded")(["x.md", {"Part": ["*.md"]}], tmp_path) == ["x.md", {"Part": ["a.md", "b.md"]}]


def test_the_tables_name_arguments_with_their_defaults() -> None:
    known = classes()
    found = list(keys())
    assert {"SETRec", "TIGER", "CausalBackbone", "Recommender", "SequenceData", "Trainer"} <= {
        name for name, *_ in found
    }
    for name, key, default in found:
        parameters = inspect.signature(known[name]).parameters
        assert key in parameters, f"{name} has no `{key}`"
        if default:
            actual = COMMAND_LINE.get((name, key), parameters[key].default)
            expected = list(actual) if isinstance(actual, tuple) else actual
            assert yaml.safe_load(default.strip("`")) == expected, f"{name}.{key}"


def test_an_identifier_page_leaves_no_argument_out() -> None:
    named = list(keys())
    for page in (page for page in PAGES if page.startswith("identifiers/")):
        for name in {first.strip("`") for first, *others in rows(PAGES[page]) if others[:1] == ["default"]}:
            expected = [key for key in inspect.signature(classes()[name]).parameters if key != "self"]
            assert {key for cls, key, _ in named if cls == name} == set(expected), name


def test_the_commands_and_their_keys_exist(capsys: pytest.CaptureFixture[str]) -> None:
    firsts = [row[0].strip("`") for row in rows(PAGES["configuration.md"])]
    commands = [first.removeprefix("genrec ") for first in firsts if first.startswith("genrec ")]
    assert sorted(commands) == sorted(re.findall(r"^  ([a-z-]+) +\w", USAGE.partition("CONFIG is")[0], re.MULTILINE))
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    shown = capsys.readouterr().out
    # Those of a class that may be null have a help of their own.
    shown += " ".join(f"--early_stopping.{key} " for key in inspect.signature(Stopping).parameters)
    options = [first for first in firsts if first.startswith("--")]
    assert "--checkpoint.monitor" in options
    assert [option for option in options if not re.search(rf"{re.escape(option)}[ \n,.]", shown)] == []


def test_the_configs_that_are_named_are_packaged() -> None:
    packaged = {path.relative_to(PACKAGED).as_posix() for path in PACKAGED.rglob("*.yaml")}
    named = 0
    for page, text in PAGES.items():
        own = set(re.findall(r"Write `([\w.]+)`", text)) | set(re.findall(r"# (my_\w+\.yaml)", text))
        parts = [part.strip() for line in re.findall(r"compose: \[(.*?)\]", text) for part in line.split(",")]
        for name in [*re.findall(r"--config (\w+\.yaml)", text), *parts]:
            named += 1
            assert name in packaged | own, f"{page}: {name}"
    assert named > 20


def test_a_formula_becomes_mathml_and_an_unknown_command_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Page:
        class file:  # noqa: N801
            src_path = "page.md"

    html = r'<span class="arithmatex">\(x_i &lt; 2\)</span>'
    with caplog.at_level(logging.WARNING, "mkdocs"):
        made = hook("on_page_content")(html, page=Page)
        assert re.fullmatch(r'<span class="formula"><math.*<msub>.*</math></span>', made)
        assert not caplog.records
        hook("on_page_content")(html.replace("x_i", r"\nonsense"), page=Page)
    assert re.search(r"page\.md.*nonsense", caplog.text)

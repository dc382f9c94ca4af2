"""Hooks of the site: formulas become MathML when it is built, and folders of pages find their way into the menu."""

from __future__ import annotations

import logging
import re
from html import unescape
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert

# Below `mkdocs`, so that `--strict` counts its warnings.
log = logging.getLogger("mkdocs.genrec")

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_config(config: Any) -> Any:
    """Replace every pattern of the menu, such as ``results/*.md``, by the pages that there are."""
    config.nav = _expanded(config.nav, Path(config.docs_dir))
    return config


def _expanded(entries: list[Any], docs: Path) -> list[Any]:
    made: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            made.append({k: _expanded(v, docs) if isinstance(v, list) else v for k, v in entry.items()})
        elif "*" in entry:
            made += sorted(path.relative_to(docs).as_posix() for path in docs.glob(entry))
        else:
            made.append(entry)
    return made


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Formulas as MathML, which browsers draw without a script."""

    def mathml(found: re.Match[str]) -> str:
        tag, latex = found.groups()
        made = convert(unescape(latex).strip(), display="block" if tag == "div" else "inline")
        # A command that the converter does not know comes out as it went in.
        if "\\" in made or "<mi>&</mi>" in made:
            log.warning("%s: a formula is not understood: %s", page.file.src_path, latex.strip())
        return f'<{tag} class="formula">{made}</{tag}>'

    return FORMULA.sub(mathml, html)

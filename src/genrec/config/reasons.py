"""How a parser came to a bad value, read off what it says: through which keys and classes, and what it found there.

It tells keys, classes and the alternatives of a type each a level of indentation deeper. That way is walked to its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from textwrap import dedent
from typing import Any, get_args, get_origin

from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from genrec.assets import Assets
from genrec.config.signatures import find_class, parameters
from genrec.data import SequenceData
from genrec.evaluation.protocol import Measure

SECTIONS: dict[str, type] = {
    "data": SequenceData,
    "assets": Assets,
    "measure": Measure,
    "checkpoint": ModelCheckpoint,
    "early_stopping": EarlyStopping,
}
"""The sections of a config and whose arguments they hold; the commands that train add theirs."""

_KEY = re.compile(r'Parser key "([\w.]+)"(?: element \d+)?:\s')
_CLASS = re.compile(r"Problem with given class_path '([^']*)':\s")
_CALLABLE = re.compile(r"Type typing\.Callable.*? expects a function or a callable class: ")
_BUILT = re.compile(r"\. Got value: Namespace\(class_path='([\w.]+)'.*\Z", re.DOTALL)
_NO_FILE = re.compile(r"- Expected a path but .*? either not accessible or invalid\n- ", re.DOTALL)
_UNION = re.compile(
    r"Does not validate against any of the Union subtypes\nSubtypes: .*?\nErrors:\n(.*)\nGiven value type: .*?\n"
    r"Given value: (.*)\Z",
    re.DOTALL,
)
_NESTED = re.compile(r"NestedArg\(key='([\w.]+)', val=(.*)\)\Z", re.DOTALL)
UNKNOWN_KEY = re.compile(
    r"[Kk]ey ['\"`]([\w.]+)['\"`] is not expected"
    r"|[Uu]nrecognized arguments?: --([\w.]+)"
    r"|does not accept option ['\"`]([\w.]+)"
    r"|Option ['\"`]([\w.]+)['\"`] is not accepted"
)
TYPE = re.compile(r"Expected an? <class '(?:\w+\.)*(\w+)'>")
LITERAL = re.compile(r"Expected a typing\.Literal\[(.*?)\]")
WANTS_CLASS = re.compile(
    r"(?:Expected a dot import path string|Unexpected import path format): (.*)"
    r"|Not a valid subclass of|unhashable type|argument of type"
)
_UNFIT = re.compile(
    r"Import path (?:(\S+) )?does not|Expected an instantiatable class, but (\S+) is|Expected '(\S+)' to be a subclass"
)
_PLAIN = (TYPE, LITERAL, WANTS_CLASS)
_DOTTED = re.compile(r"\w+(\.\w+)+")


@dataclass(frozen=True)
class Reason:
    """Where the parser came to, and why it did not go on.

    Args:
        path: the keys.
        owner: the class whose argument the last one is, or that refused a key.
        said: of the alternatives of a type, each.
        given: the value, where it is known.
        named: the class that the value names, if it is one that cannot be used.
    """

    path: tuple[str, ...] = ()
    owner: str | None = None
    said: tuple[str, ...] = ()
    given: str | None = None
    named: str | None = None

    @property
    def key(self) -> str:
        """The keys in one, as on the command line."""
        return ".".join(self.path)


def walk(text: str, so_far: Reason) -> Reason:
    """Follow the way to its end.

    Args:
        text: what the parser says from here on.
        so_far: where it came to before.
    """
    text = dedent(text).strip()
    if found := _KEY.match(text):
        keys = tuple(found[1].split("."))
        below = so_far.path and so_far.owner and not is_final(so_far.owner)
        path = (*so_far.path, *(("init_args",) if below else ()), *keys)
        return walk(text[found.end() :], replace(so_far, path=path, named=None))
    if found := _CLASS.match(text):
        inner = walk(text[found.end() :], replace(so_far, owner=found[1]))
        return inner if _goes_on(inner, so_far) else replace(inner, owner=so_far.owner, named=found[1], given=found[1])
    if found := _CALLABLE.match(text):
        text, built = text[found.end() :], _BUILT.search(text)
        owner = built[1] if built else so_far.owner
        return walk(_BUILT.sub("", text), replace(so_far, owner=owner))
    if found := _NO_FILE.match(text):
        return walk(text[found.end() :], so_far)
    if found := _UNION.match(text):
        return _choose(found[1], found[2], so_far)
    found = re.search(r"\. Got value: (.*?)(?:\n|\Z)", text) or WANTS_CLASS.match(text)
    if classes := _UNFIT.match(text):
        name = next((group for group in classes.groups() if group), so_far.given)
        return replace(so_far, said=(text,), given=name, named=name)
    return replace(so_far, said=(text,), given=(found and found[1]) or so_far.given)


def _choose(alternatives: str, given: str, so_far: Reason) -> Reason:
    """Of the alternatives of a type the one that came furthest; what all say, if they refuse the value at once."""
    nested = _NESTED.match(given)
    value = nested[2].strip("'") if nested else _named(given)
    options = [walk(part, replace(so_far, given=value)) for part in _parts(alternatives)]
    deepest = max(options, key=lambda option: (len(option.path), option.owner != so_far.owner, bool(option.named)))
    if len(deepest.path) > len(so_far.path) or deepest.owner != so_far.owner or deepest.named:
        return deepest
    said = tuple(said for option in options for said in option.said)
    raised = next((each for each in said if not any(plain.match(each) for plain in _PLAIN)), None)
    path = so_far.path
    if nested and (raised or any(map(WANTS_CLASS.match, said))):
        keys = nested[1].split(".")
        kind = hint(so_far)
        mapping = any(get_origin(part) in (dict, Mapping) for part in (kind, *get_args(kind)))
        path = (*path, *(() if mapping or keys[0] in ("init_args", "class_path") else ("init_args",)), *keys)
    if raised and not UNKNOWN_KEY.search(raised):
        return replace(so_far, path=path, said=(raised,), given=value, named=value if _DOTTED.fullmatch(value) else "?")
    return replace(so_far, path=path, said=said, given=value)


def _named(given: str) -> str:
    """The class that a config names without any arguments; everything else as it is."""
    found = re.fullmatch(r"\{'class_path': (.*)\}", given)
    return found[1].strip("'") if found and "'init_args'" not in given else given


def _parts(alternatives: str) -> Iterator[str]:
    """The items of an indented list."""
    for part in re.split(r"\n(?=- )", dedent(alternatives).strip()):
        first, *more = part.splitlines()
        yield "\n".join([first.removeprefix("- "), *(line.removeprefix("  ") for line in more)])


def _goes_on(reason: Reason, so_far: Reason) -> bool:
    """Whether a class was found, and it is its arguments that are wrong."""
    said = reason.said[0] if reason.said else ""
    refused = UNKNOWN_KEY.search(said) or "arguments are required" in said or "has no attribute 'keys'" in said
    return len(reason.path) > len(so_far.path) or bool(refused) or bool(reason.named)


def hint(reason: Reason) -> Any:
    """What the signature of its owner says of a key; of a mapping, such as `assets.sources`, the keys are anybody's."""
    owner = find_class(reason.owner) or SECTIONS.get(next(iter(reason.path), ""))
    known = parameters(owner) if owner else {}
    return next((known[name] for name in reversed(reason.path) if name in known), None)


def is_final(path: str | None) -> bool:
    """Whether a class, by its name, has no subclasses: its arguments stand under its key without ``init_args``."""
    return bool(getattr(find_class(path), "__final__", False))

"""What a parser says of bad arguments, in one line for people: which key, what it should be, what it is.

The parser describes how it came to a value: through keys, classes and the alternatives of a type, each a level of
indentation deeper. That way is walked to its end; the reason that stands there is told.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from textwrap import dedent
from typing import Any, get_args, get_origin

from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from genrec.assets import Assets
from genrec.config.signatures import all_subclasses, cause, find_class, looked_for, named_classes, nearest, parameters
from genrec.data import SequenceData
from genrec.evaluation.protocol import Measure
from genrec.recommenders import RankingModule

SECTIONS: dict[str, type] = {
    "data": SequenceData,
    "assets": Assets,
    "measure": Measure,
    "checkpoint": ModelCheckpoint,
    "early_stopping": EarlyStopping,
}
"""The sections of a config and whose arguments they hold; the commands that train add theirs."""
_WHOLE: dict[str, type] = {"model": RankingModule, "early_stopping": EarlyStopping}
_TOP = ("config", "seed_everything", "model", "runs", "output", "requeue", "verify", "float32_matmul", "ckpt_path")

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
_UNKNOWN_KEY = re.compile(
    r"[Kk]ey ['\"`]([\w.]+)['\"`] is not expected"
    r"|[Uu]nrecognized arguments?: --([\w.]+)"
    r"|does not accept option ['\"`]([\w.]+)"
    r"|Option ['\"`]([\w.]+)['\"`] is not accepted"
)
_TYPE = re.compile(r"Expected an? <class '(?:\w+\.)*(\w+)'>")
_LITERAL = re.compile(r"Expected a typing\.Literal\[(.*?)\]")
_WANTS_CLASS = re.compile(
    r"(?:Expected a dot import path string|Unexpected import path format): (.*)"
    r"|Not a valid subclass of|unhashable type|argument of type"
)
_OPTION = "an option is `--key value`, a value with blanks stands in quotes"
_UNFIT = re.compile(
    r"Import path (?:(\S+) )?does not|Expected an instantiatable class, but (\S+) is|Expected '(\S+)' to be a subclass"
)
_PLAIN = (_TYPE, _LITERAL, _WANTS_CLASS)
_DOTTED = re.compile(r"\w+(\.\w+)+")
_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true, false",
    "str": "a text",
    "NoneType": "null",
    "list": "a list",
    "tuple": "a list",
    "Sequence": "a list",
    "dict": "a mapping",
    "Mapping": "a mapping",
}


@dataclass(frozen=True)
class _Reason:
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
        return ".".join(self.path)


def explain(error: Exception) -> str:
    """One line for people out of an argument parser's error.

    An unknown key or class comes with the nearest one of the class that refused it; a value of the wrong type with what
    it should be; a class that cannot be imported with the file and line, or with where its module was looked for.
    Anything else is passed on as it is.
    """
    reason = _walk(str(error), _Reason())
    said = " ".join(reason.said[0].split()) if reason.said else ""
    if found := _UNKNOWN_KEY.search(said):
        return _unknown_key(reason, next(group for group in found.groups() if group))
    if "arguments are required" in said:
        return _missing(reason, said)
    if found := re.search(r"nrecognized arguments: (.*)", said):
        how = f"did you mean `--config {found[1]}`?" if found[1].endswith((".yaml", ".yml")) else _OPTION
        return f"`{found[1]}` belongs to no key: {how}"
    if reason.key and "Unable to load config" in said:
        given = re.search(r"Unable to load config ['\"](.*?)['\"]", said)
        return f"config key `{reason.key}` holds other keys: it cannot be `{given[1] if given else reason.given}`"
    if reason.key and re.search(r"object has no attribute '(keys|items)'", said):
        of = _short(reason.owner) if reason.owner else "a class"
        return f"config key `{reason.key}.init_args` holds the arguments of {of} by name, it cannot be {_given(reason)}"
    if reason.named:
        return _bad_class(reason, said, error)
    if reason.key and (wanted := _wanted(reason)):
        if wanted.endswith("null") and _given(reason) == "`null`":
            return f"config key `{reason.key}` can be null in a config file alone, not on the command line"
        return f"config key `{reason.key}`: expected {wanted}, not {_given(reason)}{_near_word(reason)}"
    return f"config key `{reason.key}`: {said}" if reason.key and said else " ".join(str(error).split())


def _walk(text: str, so_far: _Reason) -> _Reason:
    """Follow the way to its end."""
    text = dedent(text).strip()
    if found := _KEY.match(text):
        keys = tuple(found[1].split("."))
        below = so_far.path and so_far.owner and not _is_final(so_far.owner)
        path = (*so_far.path, *(("init_args",) if below else ()), *keys)
        return _walk(text[found.end() :], replace(so_far, path=path, named=None))
    if found := _CLASS.match(text):
        inner = _walk(text[found.end() :], replace(so_far, owner=found[1]))
        return inner if _goes_on(inner, so_far) else replace(inner, owner=so_far.owner, named=found[1], given=found[1])
    if found := _CALLABLE.match(text):
        text, built = text[found.end() :], _BUILT.search(text)
        owner = built[1] if built else so_far.owner
        return _walk(_BUILT.sub("", text), replace(so_far, owner=owner))
    if found := _NO_FILE.match(text):
        return _walk(text[found.end() :], so_far)
    if found := _UNION.match(text):
        return _choose(found[1], found[2], so_far)
    found = re.search(r"\. Got value: (.*?)(?:\n|\Z)", text) or _WANTS_CLASS.match(text)
    if classes := _UNFIT.match(text):
        name = next((group for group in classes.groups() if group), so_far.given)
        return replace(so_far, said=(text,), given=name, named=name)
    return replace(so_far, said=(text,), given=(found and found[1]) or so_far.given)


def _choose(alternatives: str, given: str, so_far: _Reason) -> _Reason:
    """Of the alternatives of a type the one that came furthest; what all say, if they refuse the value at once."""
    nested = _NESTED.match(given)
    value = nested[2].strip("'") if nested else _named(given)
    options = [_walk(part, replace(so_far, given=value)) for part in _parts(alternatives)]
    deepest = max(options, key=lambda option: (len(option.path), option.owner != so_far.owner, bool(option.named)))
    if len(deepest.path) > len(so_far.path) or deepest.owner != so_far.owner or deepest.named:
        return deepest
    said = tuple(said for option in options for said in option.said)
    raised = next((each for each in said if not any(plain.match(each) for plain in _PLAIN)), None)
    path = so_far.path
    if nested and (raised or any(map(_WANTS_CLASS.match, said))):
        keys = nested[1].split(".")
        hint = _hint(so_far)
        mapping = any(get_origin(part) in (dict, Mapping) for part in (hint, *get_args(hint)))
        path = (*path, *(() if mapping or keys[0] in ("init_args", "class_path") else ("init_args",)), *keys)
    if raised and not _UNKNOWN_KEY.search(raised):
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


def _goes_on(reason: _Reason, so_far: _Reason) -> bool:
    """Whether a class was found, and it is its arguments that are wrong."""
    said = reason.said[0] if reason.said else ""
    refused = _UNKNOWN_KEY.search(said) or "arguments are required" in said or "has no attribute 'keys'" in said
    return len(reason.path) > len(so_far.path) or bool(refused) or bool(reason.named)


def _unknown_key(reason: _Reason, key: str) -> str:
    owner: Any = find_class(reason.owner)
    parts = key.split(".")
    if reason.owner is None and len(parts) > 1 and parts[0] in SECTIONS:
        owner, parts = SECTIONS[parts[0]], parts[1:]
    known = list(parameters(owner)) if owner else [*_TOP, *SECTIONS]
    if owner and reason.owner is None and parts[0] in known:  # `trainer.logger.foo`, of a key that holds no others
        return f"config key `{key.rpartition('.')[0]}` holds no other keys, such as `{parts[-1]}`"
    path = ".".join([*reason.path, *(["init_args"] if reason.path and not _is_final(reason.owner) else []), key])
    listed = f"; {owner.__name__ if owner else 'a config'} has {', '.join(known)}"
    return f"unknown config key `{path}`{nearest(parts[0], known) or listed}"


def _missing(reason: _Reason, said: str) -> str:
    missing = said.rpartition(": ")[2]
    if reason.key:
        return f"config key `{reason.key}`: {_short(reason.owner or 'it')} needs {missing} (in its `init_args`)"
    needed = ", ".join(f"`{name.partition('.')[2] or name}`" for name in missing.split(", "))
    return f"no {needed} is given: give a config file with --config, such as --config synthetic_setrec.yaml"


def _bad_class(reason: _Reason, said: str, error: Exception) -> str:
    """Why a class that is named with its module, or known, cannot be used."""
    name, key = reason.named or "", reason.key
    wanted = _base(reason)
    module, _, last = name.rpartition(".")
    if base := re.search(r"to (?:be )?a subclass of (?:<class ')?(?:\w+\.)*(\w+)", said):
        return f"config key `{key}`: `{name}` is no {base[1]}{_there_are(wanted)}"
    if " is abstract" in said:
        cls = find_class(name) or next((each for each in _subclasses(wanted) if each.__name__ == name), None)
        if cls is None or cls is wanted:
            return f"config key `{key}`: `{name}` is what others are made of, name one of those{_there_are(cls)}"
        verbs = ", ".join(f"`{verb}`" for verb in sorted(getattr(cls, "__abstractmethods__", ())))
        return f"config key `{key}`: `{name}` does not define {verbs}, which its base class leaves to it"
    if found := re.search(r"No module named '([\w.]+)'", said):
        if last in ("yaml", "yml", "json"):
            return f"config key `{key}`: there is no file `{name}`"
        if f"{module}.".startswith(f"{found[1]}."):
            return f"config key `{key}`: there is no module `{found[1]}` for `{name}`; {looked_for(found[1])}"
    elif re.search(r"module '[\w.]+' has no attribute", said):
        there = sys.modules.get(module)
        classes = [word for word, value in vars(there).items() if inspect.isclass(value)] if there else []
        return f"config key `{key}`: the module `{module}` has no `{last}`{nearest(last, classes)}"
    what = f"`{name}`" if name != "?" else "a class that it names"
    return f"config key `{key}`: {what} cannot be imported: {cause(error, said)}"


def _wanted(reason: _Reason) -> str | None:
    """What a value should be, in words."""
    wanted: list[str] = []
    literals = _literals(reason)
    for said in reason.said:
        if kind := _TYPE.match(said):
            # Of a literal of numbers the parser asks for a number first.
            wanted += [] if literals and kind[1] == "int" else _NAMES.get(kind[1], kind[1]).split(", ")
        elif _WANTS_CLASS.match(said):
            wanted += [f"a class of {base.__name__}{_there_are(base)}" for base in _bases(reason)]
    wanted = list(dict.fromkeys([*literals, *wanted]))
    if not wanted and any(map(_WANTS_CLASS.match, reason.said)):
        wanted = ["the name of a class"]
    if "null" in wanted and len(wanted) > 1:
        wanted.remove("null")
        wanted += ["null"] if reason.path[:1] != ("model",) or len(reason.path) > 2 else []
    return " or ".join([", ".join(wanted[:-1]), wanted[-1]] if len(wanted) > 1 else wanted) or None


def _literals(reason: _Reason) -> list[str]:
    """The words that a value may be."""
    found = [words for said in reason.said for words in _LITERAL.findall(said)]
    return [word.strip(" '") for words in found for word in words.split(",")]


def _near_word(reason: _Reason) -> str:
    """A question for the word or class that is nearest to the one that was given."""
    asked = any(map(_WANTS_CLASS.match, reason.said))
    classes = [cls.__name__ for cls in _subclasses(_base(reason))] if asked else []
    given = reason.given or ""
    return nearest(given, _literals(reason)) or nearest(given, classes)


def _there_are(base: type | None) -> str:
    """The classes of genrec's and of plugins that may be named; those of libraries are many."""
    if base is None or not base.__module__.startswith("genrec."):
        return ""
    names = {cls.__name__ for cls in _subclasses(base) if not inspect.isabstract(cls)}
    names = {name for name in names if not name.startswith("_")}
    return f" ({', '.join(sorted(names))})" if names - {base.__name__} else ""


def _bases(reason: _Reason) -> list[type]:
    """The classes that a key asks for, out of the signature of its owner."""
    path = reason.path[:-1] if reason.path[-1:] == ("class_path",) else reason.path
    if len(path) == 1:
        return [cls for name, cls in _WHOLE.items() if name == path[0]]
    return list(dict.fromkeys(named_classes(_hint(reason))))


def _hint(reason: _Reason) -> Any:
    """What the signature of its owner says of a key; of a mapping, such as `assets.sources`, the keys are anybody's."""
    owner = find_class(reason.owner) or SECTIONS.get(next(iter(reason.path), ""))
    known = parameters(owner) if owner else {}
    return next((known[name] for name in reversed(reason.path) if name in known), None)


def _base(reason: _Reason) -> type | None:
    return next(iter(_bases(reason)), None)


def _subclasses(base: type | None) -> list[type]:
    return [] if base is None else [base, *all_subclasses(base)]


def _is_final(path: str | None) -> bool:
    return bool(getattr(find_class(path), "__final__", False))


def _short(path: str) -> str:
    return path.rpartition(".")[2]


def _given(reason: _Reason) -> str:
    """The value as a config has it."""
    given = " ".join((reason.given or "").split())
    words = {"None": "null", "True": "true", "False": "false"}
    return f"`{words.get(given, given):.80}`" if given else "anything else"

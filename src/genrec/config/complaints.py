"""What a parser says of bad arguments, in one line for people: which key, what it should be, what it is."""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any

from lightning.pytorch.callbacks import EarlyStopping

from genrec.config.reasons import LITERAL, SECTIONS, TYPE, UNKNOWN_KEY, WANTS_CLASS, Reason, hint, is_final, walk
from genrec.config.signatures import all_subclasses, cause, find_class, looked_for, named_classes, nearest, parameters
from genrec.recommenders import RankingModule

_WHOLE: dict[str, type] = {"model": RankingModule, "early_stopping": EarlyStopping}
_TOP = ("config", "seed_everything", "model", "runs", "output", "requeue", "verify", "float32_matmul", "ckpt_path")

_OPTION = "an option is `--key value`, a value with blanks stands in quotes"
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


def explain(error: Exception) -> str:
    """One line for people out of an argument parser's error.

    An unknown key or class comes with the nearest one of the class that refused it; a value of the wrong type with what
    it should be; a class that cannot be imported with the file and line, or with where its module was looked for.
    Anything else is passed on as it is.
    """
    reason = walk(str(error), Reason())
    said = " ".join(reason.said[0].split()) if reason.said else ""
    if found := UNKNOWN_KEY.search(said):
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


def _unknown_key(reason: Reason, key: str) -> str:
    owner: Any = find_class(reason.owner)
    parts = key.split(".")
    if reason.owner is None and len(parts) > 1 and parts[0] in SECTIONS:
        owner, parts = SECTIONS[parts[0]], parts[1:]
    known = list(parameters(owner)) if owner else [*_TOP, *SECTIONS]
    if owner and reason.owner is None and parts[0] in known:  # `trainer.logger.foo`, of a key that holds no others
        return f"config key `{key.rpartition('.')[0]}` holds no other keys, such as `{parts[-1]}`"
    path = ".".join([*reason.path, *(["init_args"] if reason.path and not is_final(reason.owner) else []), key])
    listed = f"; {owner.__name__ if owner else 'a config'} has {', '.join(known)}"
    return f"unknown config key `{path}`{nearest(parts[0], known) or listed}"


def _missing(reason: Reason, said: str) -> str:
    missing = said.rpartition(": ")[2]
    if reason.key:
        return f"config key `{reason.key}`: {_short(reason.owner or 'it')} needs {missing} (in its `init_args`)"
    needed = ", ".join(f"`{name.partition('.')[2] or name}`" for name in missing.split(", "))
    return f"no {needed} is given: give a config file with --config, such as --config synthetic_setrec.yaml"


def _bad_class(reason: Reason, said: str, error: Exception) -> str:
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


def _wanted(reason: Reason) -> str | None:
    """What a value should be, in words."""
    wanted: list[str] = []
    literals = _literals(reason)
    for said in reason.said:
        if kind := TYPE.match(said):
            # Of a literal of numbers the parser asks for a number first.
            wanted += [] if literals and kind[1] == "int" else _NAMES.get(kind[1], kind[1]).split(", ")
        elif WANTS_CLASS.match(said):
            wanted += [f"a class of {base.__name__}{_there_are(base)}" for base in _bases(reason)]
    wanted = list(dict.fromkeys([*literals, *wanted]))
    if not wanted and any(map(WANTS_CLASS.match, reason.said)):
        wanted = ["the name of a class"]
    if "null" in wanted and len(wanted) > 1:
        wanted.remove("null")
        wanted += ["null"] if reason.path[:1] != ("model",) or len(reason.path) > 2 else []
    return " or ".join([", ".join(wanted[:-1]), wanted[-1]] if len(wanted) > 1 else wanted) or None


def _literals(reason: Reason) -> list[str]:
    """The words that a value may be."""
    found = [words for said in reason.said for words in LITERAL.findall(said)]
    return [word.strip(" '") for words in found for word in words.split(",")]


def _near_word(reason: Reason) -> str:
    """A question for the word or class that is nearest to the one that was given."""
    asked = any(map(WANTS_CLASS.match, reason.said))
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


def _bases(reason: Reason) -> list[type]:
    """The classes that a key asks for, out of the signature of its owner."""
    path = reason.path[:-1] if reason.path[-1:] == ("class_path",) else reason.path
    if len(path) == 1:
        return [cls for name, cls in _WHOLE.items() if name == path[0]]
    return list(dict.fromkeys(named_classes(hint(reason))))


def _base(reason: Reason) -> type | None:
    return next(iter(_bases(reason)), None)


def _subclasses(base: type | None) -> list[type]:
    return [] if base is None else [base, *all_subclasses(base)]


def _short(path: str) -> str:
    return path.rpartition(".")[2]


def _given(reason: Reason) -> str:
    """The value as a config has it."""
    given = " ".join((reason.given or "").split())
    words = {"None": "null", "True": "true", "False": "false"}
    return f"`{words.get(given, given):.80}`" if given else "anything else"

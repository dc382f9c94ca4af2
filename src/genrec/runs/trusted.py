"""What a config may name that came with a folder: a saved recommender, or a run that somebody handed over.

Such a config is data. Whoever builds from it hands it to `checked` first, which lets through

* classes that this process knows already, where the constructor asks for a class above them: genrec's own, those of
  installed `plugins`, and what the user has imported himself;
* numbers, and texts where the constructor takes texts.

Nothing that it names is imported: no module beside the file, in the working folder or anywhere else. What makes an
optimiser is left out, because a recommender in use has none. With ``trust`` the modules of its classes are imported;
they still have to be classes of the right kind.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from inspect import isclass
from pathlib import Path, PurePath
from types import UnionType
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from genrec.assets import Asset, Assets, FromEmbeddings
from genrec.backbones import Backbone
from genrec.config.signatures import all_subclasses, cause, looked_for, type_hints
from genrec.data import Extra, SequenceData, Source
from genrec.errors import GenrecError
from genrec.identifiers import ItemIdentifier
from genrec.recommenders import RankingModule
from genrec.runs.plugins import plugins

SECTIONS: dict[str, Any] = {"model": RankingModule, "data": SequenceData, "assets": Assets}
"""What of a config a recommender is made of, and of which class it is; the rest is about its training."""

MOST = 10_000
"""Values in a config, and letters of a text; one with more is no config."""
LARGEST = 10**7
"""Of the whole numbers, but for seeds: what is made in such a number has to fit into memory."""

_KINDS: tuple[Any, ...] = (RankingModule, ItemIdentifier, Backbone, Source, Extra, Asset, FromEmbeddings)
_PLAIN = (str, int, float, bool, type(None), list, tuple, dict, set, object, Sequence, Mapping)
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def look_here(named: Any) -> None:
    """Let Python find modules of the user's own in the working folder, if he names one that is nowhere else.

    Args:
        named: what he typed, and the configs that he named: texts, lists and mappings.
    """
    for text in _texts(named):
        package = text.partition(".")[0]
        if "." not in text or not _PATH.fullmatch(text) or package in sys.modules:
            continue
        if (Path(f"{package}.py").is_file() or Path(package).is_dir()) and find_spec(package) is None:
            sys.path.append(str(Path.cwd()))
            return


def checked(config: Mapping[str, Any], file: Path, trust: bool = False) -> dict[str, Any]:
    """The `SECTIONS` of a config that came with a folder, without what makes optimisers.

    Args:
        config: as in a config file.
        file: where it is from, for errors.
        trust: import the modules that its classes are named with.

    Raises:
        GenrecError: naming the key that holds anything but known classes, numbers and texts in their places.
    """
    reader = _Reader(file, plugins(), trust)
    return {name: reader.section(config[name], name) for name in SECTIONS if name in config}


class _Reader:
    """A walk over a config along the signatures of the classes that it names."""

    def __init__(self, file: Path, packages: set[str], trust: bool) -> None:
        self.file, self.packages, self.trust = file, packages, trust
        self.left = MOST

    def section(self, value: Any, name: str) -> Any:
        if name == "model":
            return self.value(value, SECTIONS[name], name)
        return self.arguments(value or {}, SECTIONS[name], name)

    def arguments(self, values: Any, cls: type, key: str) -> dict[str, Any]:
        """What a constructor is given; what it does not know is looked at like everything else, and refused later."""
        if not isinstance(values, Mapping):
            self.refuse(key, f"holds the arguments of {cls.__name__}, not {values!r:.80}")
        hints = type_hints(cls)
        named = {self.name(name, key): value for name, value in values.items()}
        parts = {name: _parts(hints.get(name, Any)) for name in named}
        return {
            name: self.value(value, hints.get(name, Any), f"{key}.{name}")
            for name, value in named.items()
            if not any(_optimises(part) for part in parts[name])
        }

    def value(self, value: Any, hint: Any, key: str) -> Any:
        self.left -= 1
        if self.left < 0:
            self.refuse(key, f"comes after {MOST:,} other values: that is no config")
        parts = _parts(hint)
        number = float(value) if isinstance(value, str) and len(value) <= MOST and _is_number(value) else value
        if (
            isinstance(value, int | str)
            and not isinstance(number, str)
            and abs(number) > LARGEST
            and not key.endswith(".seed")
        ):
            self.refuse(key, f"is a number beyond {LARGEST:,}")
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            if len(value) > MOST:
                self.refuse(key, f"is a text of {len(value):,} letters: that is no config")
            return self.text(value, parts, key)
        # Of a list, a mapping: whatever may be in it.
        inside = tuple(arg for part in parts for arg in get_args(part) if arg is not ...)
        inner: Any = Union.__getitem__(inside or (Any,))
        if isinstance(value, list | tuple):
            return [self.value(item, inner, f"{key}.{place}") for place, item in enumerate(value)]
        if not isinstance(value, Mapping):
            self.refuse(key, f"is a {type(value).__name__}, which no config holds")
        classes = _classes(parts)
        if "class_path" in value:
            return self.component(value, classes, key)
        if len(classes) != 1:
            return {self.name(name, key): self.value(item, inner, f"{key}.{name}") for name, item in value.items()}
        if value.keys() == {"init_args"}:
            return {"init_args": self.arguments(value["init_args"] or {}, classes[0], key)}
        return self.arguments(value, classes[0], key)

    def component(self, value: Mapping[str, Any], classes: list[type], key: str) -> dict[str, Any]:
        """A class and its arguments."""
        if extra := value.keys() - {"class_path", "init_args"}:
            self.refuse(key, f"has `{min(extra, key=str)!s:.80}` beside class_path and init_args")
        cls = self.known(value["class_path"], classes)
        if cls is None:
            self.refuse_class(key, value["class_path"], classes)
        arguments = self.arguments(value.get("init_args") or {}, cls, key)
        return {"class_path": value["class_path"], **({"init_args": arguments} if "init_args" in value else {})}

    def text(self, value: str, parts: list[Any], key: str) -> str:
        """A text where one is asked for, a number that YAML took for a text, or the name of a class."""
        classes = _classes(parts)
        if classes:
            if self.known(value, classes) is None and (str not in parts or _PATH.fullmatch(value)):
                self.refuse_class(key, value, classes)
        elif Any in parts:
            if _PATH.fullmatch(value) or "/" in value:
                self.refuse(key, f"is a number or a word, not `{value:.80}`")
        elif str not in parts and not _is_number(value):
            self.refuse(key, f"is no text, but `{value:.80}`")
        return value

    def known(self, path: Any, classes: list[type]) -> type | None:
        """The class of a path or a short name, if it is one below those that are asked for, and known."""
        if not isinstance(path, str):
            return None
        module, _, name = path.rpartition(".")
        if self.trust and module and _PATH.fullmatch(path):
            self.load(module, path)
        for cls in (below for base in classes for below in (base, *all_subclasses(base))):
            # As in `from package import Class`, where the class lies in a module of the package.
            there = getattr(sys.modules.get(module), "__dict__", {}).get(name) is cls
            named = path == f"{cls.__module__}.{cls.__qualname__}" or (not module and name == cls.__name__)
            # A class whose module is gone would have to be imported again.
            here = cls.__module__ in sys.modules and (not module or module in sys.modules)
            ours = issubclass(cls, _KINDS) or cls.__module__.partition(".")[0] in self.packages
            if here and ours and (there or named):
                return cls
        return None

    def load(self, module: str, path: str) -> None:
        look_here(path)
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if not error.name or not f"{module}.".startswith(f"{error.name}."):
                raise GenrecError(f"{self.file}: `{path}` cannot be imported: {cause(error)}") from error
            # Of a class in a class, what stands before it is no module.
            if error.name == module.partition(".")[0]:
                there_is = f"there is no module `{error.name}` for `{path}`; {looked_for(error.name)}"
                raise GenrecError(f"{self.file}: {there_is}") from error
        except Exception as error:
            raise GenrecError(f"{self.file}: `{path}` cannot be imported: {cause(error)}") from error

    def name(self, name: Any, key: str) -> str:
        """A key, which is one word: dots and other signs have a meaning to parsers."""
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
            self.refuse(key, f"has a key {name!r:.80}, which is no name of an argument")
        return name

    def refuse_class(self, key: str, path: Any, classes: list[type]) -> NoReturn:
        wanted = " or ".join(cls.__name__ for cls in classes) or "class"
        if self.trust:
            self.refuse(key, f"names `{path!s:.80}`, which is no {wanted} that there is")
        self.refuse(
            key,
            f"names `{path!s:.80}`, which is no {wanted} of genrec, of an installed plugin or of a module that was "
            "imported before: nothing that a folder names is imported, unless you trust it (`trust=True`, --trust)",
        )

    def refuse(self, key: str, reason: str) -> NoReturn:
        raise GenrecError(f"{self.file}: `{key:.100}` {' '.join(reason.split())}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(part)


def _parts(hint: Any) -> list[Any]:
    """What a value may be by a type hint; a literal and a path are texts."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return [part for option in get_args(hint) for part in _parts(option)]
    text = origin is Literal or (isclass(hint) and origin is None and issubclass(hint, PurePath))
    return [str] if text else [hint]


def _classes(parts: list[Any]) -> list[type]:
    return [part for part in parts if isclass(part) and get_origin(part) is None and part not in _PLAIN]


def _optimises(part: Any) -> bool:
    made = get_args(part)[-1:] if get_origin(part) is get_origin(Callable[[], Any]) else (part,)
    return any(isclass(cls) and issubclass(cls, Optimizer | LRScheduler) for cls in made)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True

"""Pickles of plain data, read without running what they ask for.

Unpickling calls whatever functions a file names. Here it can only reach the functions of one short table, which build
dicts, lists, sets, numbers, arrays and tensors; a file that asks for anything else is refused, by name.
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from genrec.errors import GenrecError

ARCHIVE = b"PK\x03\x04"
"""How files of ``torch.save`` begin: they are zip archives."""


def load_npy(path: Path) -> Any:
    """Read a ``.npy`` file, of numbers or of a pickled object.

    Returns:
        The array; if it has no dimensions, the object in it, as ``numpy.save`` wraps a dict.

    Raises:
        GenrecError: if the file is missing, broken, or asks for more than plain data.
    """
    with _opened(path) as file:
        try:
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            dtype = read(file)[2]
            if not dtype.hasobject:
                file.seek(0)
                array = np.lib.format.read_array(file, allow_pickle=False)
        except Exception as error:
            raise GenrecError(f"`{path}` is not a readable .npy file ({_line(error)})") from error
        if dtype.hasobject:
            array = _Unpickler(file, path).load_plain()
    return array.item() if isinstance(array, np.ndarray) and array.ndim == 0 else array


def load_pickle(path: Path) -> Any:
    """Read a pickle of plain data: containers, numbers, arrays, tensors; or what ``torch.save`` wrote of them.

    Raises:
        GenrecError: if the file is missing, broken, or asks for more than plain data.
    """
    with _opened(path) as file:
        archive = file.read(len(ARCHIVE)) == ARCHIVE
        file.seek(0)
        return _saved_by_torch(file, path) if archive else _Unpickler(file, path).load_plain()


def _saved_by_torch(file: IO[bytes], path: Path) -> Any:
    try:
        return _restricted(file)
    except _Refused as refused:
        raise _refusal(path, str(refused)) from refused
    except Exception as error:  # a broken archive can raise almost anything
        raise GenrecError(f"`{path}` is not readable by torch, or was cut short ({_line(error)})") from error


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows only the names of `_ALLOWED`."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        super().__init__(file)
        self.path = path

    def load_plain(self) -> Any:
        try:
            return self.load()
        except GenrecError:
            raise
        except _Refused as refused:
            raise _refusal(self.path, str(refused)) from refused
        except Exception as error:  # a broken pickle can raise almost anything
            raise GenrecError(f"`{self.path}` is not a readable pickle, or was cut short ({_line(error)})") from error

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _refusal(self.path, f"{module}.{name}") from None


def _refusal(path: Path, name: str) -> GenrecError:
    return GenrecError(
        f"`{path}` asks for {name} when unpickled; genrec refuses: only plain dicts, lists, sets, numbers, "
        "arrays and tensors are read from pickles"
    )


class _Refused(Exception):  # noqa: N818 - the name of what a storage asked for, on its way to the file's error
    pass


_NDARRAY = "numpy.ndarray"
"""Stands for the class, so that a file can name it but not call it."""


def _array(kind: str, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """The empty array that numpy's own reconstruction starts from; the pickle then fills in its state."""
    if kind is not _NDARRAY:
        raise pickle.UnpicklingError("an array of an unknown kind")
    return np.empty(0, np.int8)


def _scalar(dtype: np.dtype, value: bytes) -> Any:
    """A number such as ``numpy.int64(3)``, from its bytes."""
    return np.frombuffer(value, dtype)[0]


def _bytes(text: str, encoding: str) -> bytes:
    """How pickles of protocol 2 write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding}")
    return text.encode(encoding)


def _storage(content: bytes) -> Any:
    """A tensor's storage, which torch embeds as a second pickle."""
    return _restricted(io.BytesIO(content))


def _restricted(file: IO[bytes]) -> Any:
    """What torch wrote, read by its own restricted unpickler."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked is None:
            raise
        raise _Refused(asked[1]) from error


def _tensor(storage: Any, offset: int, size: Any, stride: Any, requires_grad: bool, hooks: Any) -> torch.Tensor:
    """A view of a storage. One that reaches beyond is refused: torch would let the storage grow, with any content."""
    end = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if min(offset, *size, *stride) < 0 or (all(size) and end >= storage._size()):
        raise pickle.UnpicklingError("a tensor that reaches beyond its storage")
    return torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, OrderedDict())


_ALLOWED: dict[tuple[str, str], type | Callable[..., Any] | str] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _bytes,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): np.dtype,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
}
for _module in ("builtins", "__builtin__"):
    _ALLOWED |= {(_module, "set"): set, (_module, "frozenset"): frozenset}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED |= {(_module, "_reconstruct"): _array, (_module, "scalar"): _scalar}


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise GenrecError(f"cannot read `{path}`: {error.strerror}") from error


def _line(error: Exception) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())

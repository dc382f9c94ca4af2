from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genrec.data.sources.safe_pickle import load_npy, load_pickle
from genrec.errors import GenrecError

MARK = "GENREC_TEST_UNPICKLED"


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def write(path: Path, value: Any) -> Path:
    path.write_bytes(pickle.dumps(value))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize(
    "value",
    [
        {1: [2, 3], 4: []},
        {5, 6},
        frozenset({7}),
        {1: np.int64(3), 2: np.float32(0.5)},
        [1.5, "text", None, True],
        (np.arange(6).reshape(2, 3), 2),
    ],
)
def test_plain_data_comes_back(tmp_path: Path, value: Any, protocol: int) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
    loaded = load_pickle(tmp_path / "x.pkl")
    assert type(loaded) is type(value)
    np.testing.assert_equal(loaded, value)


@pytest.mark.parametrize("value", [{1: [2], 3: []}, {4, 5}, np.arange(3.0), np.array(7), np.array([[1], None], object)])
def test_npy_files_as_numpy_writes_them(tmp_path: Path, value: Any) -> None:
    np.save(tmp_path / "x.npy", value, allow_pickle=True)
    np.testing.assert_equal(load_npy(tmp_path / "x.npy"), value)


def test_a_tensor_and_a_view_of_one(tmp_path: Path) -> None:
    table = torch.arange(12.0).reshape(4, 3)
    assert torch.equal(load_pickle(write(tmp_path / "x.pkl", table)), table)
    assert torch.equal(load_pickle(write(tmp_path / "x.pkl", table[1:, ::2])), table[1:, ::2])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (Calls(os.system, f"echo > {MARK}"), f"{os.system.__module__}.system"),
        (Calls(eval, f"__import__('os').environ.__setitem__('{MARK}', '1')"), "builtins.eval"),
        (Calls(getattr, os, "system"), "builtins.getattr"),
        (Calls(np.load, "x", None, True), "numpy.load"),
        (Calls(torch.load, "x"), "torch.serialization.load"),
    ],
    ids=["os.system", "eval", "getattr", "numpy.load", "torch.load"],
)
def test_everything_else_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Calls, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "builtins.getattr":
        call = Calls(getattr, {}, "keys")  # modules cannot be pickled
    path = write(tmp_path / "bad.pkl", [call])
    np.save(tmp_path / "bad.npy", np.array({1: call}, object), allow_pickle=True)
    for load in (lambda: load_pickle(path), lambda: load_npy(tmp_path / "bad.npy")):
        with pytest.raises(GenrecError, match=f"asks for {name} when unpickled; genrec refuses") as error:
            load()
        assert "bad." in str(error.value)
    assert not (tmp_path / MARK).exists()
    assert MARK not in os.environ


def storage_bytes(value: Any) -> bytes:
    """What torch embeds in a pickle as a tensor's storage, around `value`."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def test_a_malicious_pickle_inside_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inner = storage_bytes([Calls(os.system, f"echo > {MARK}")])
    path = write(tmp_path / "bad.pkl", Calls(torch.storage._load_from_bytes, inner))
    with pytest.raises(GenrecError, match=f"bad.pkl` asks for {os.system.__module__}.system when unpickled"):
        load_pickle(path)
    # A plain pickle in the place of torch's own format.
    path = write(
        tmp_path / "bad.pkl", Calls(torch.storage._load_from_bytes, pickle.dumps(Calls(os.system, f"echo > {MARK}")))
    )
    with pytest.raises(GenrecError, match=r"bad\.pkl"):
        load_pickle(path)
    assert not (tmp_path / MARK).exists()


def test_what_torch_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MARK, raising=False)
    path = tmp_path / "table.pkl"
    torch.save(table := torch.randn(3, 2), path)
    assert torch.equal(load_pickle(path), table)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(GenrecError, match=r"table\.pkl` is not readable by torch, or was cut short"):
        load_pickle(path)
    torch.save({"table": Calls(os.putenv, MARK, "1")}, path)
    with pytest.raises(GenrecError, match=rf"asks for {os.name}\.putenv when unpickled; genrec refuses"):
        load_pickle(path)
    assert MARK not in os.environ


def test_a_tensor_beyond_its_storage(tmp_path: Path) -> None:
    storage = Calls(torch.storage._load_from_bytes, storage_bytes(torch.zeros(4)._typed_storage()))
    for offset, size, stride in [(0, (5,), (1,)), (1, (2, 2), (2, 1)), (-1, (2,), (1,)), (3, (2,), (-1,))]:
        rebuild = Calls(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, None)
        with pytest.raises(GenrecError, match=r"far\.pkl.*beyond its storage"):
            load_pickle(write(tmp_path / "far.pkl", rebuild))
    within = Calls(torch._utils._rebuild_tensor_v2, storage, 0, (2, 2), (2, 1), False, None)
    assert load_pickle(write(tmp_path / "within.pkl", within)).tolist() == [[0, 0], [0, 0]]


def test_an_array_class_can_be_named_but_not_called(tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match=r"call\.pkl"):
        load_pickle(write(tmp_path / "call.pkl", Calls(np.ndarray, (1 << 40,))))


@pytest.mark.parametrize("cut", [0, 3, 60, 200])
def test_truncated_files(tmp_path: Path, cut: int) -> None:
    np.save(tmp_path / "cut.npy", np.array({user: [1, 2, 3] for user in range(100)}, object), allow_pickle=True)
    whole = (tmp_path / "cut.npy").read_bytes()
    assert len(whole) > 200
    (tmp_path / "cut.npy").write_bytes(whole[:cut])
    with pytest.raises(GenrecError, match=r"cut\.npy"):
        load_npy(tmp_path / "cut.npy")
    with pytest.raises(GenrecError, match=r"cut\.npy"):
        load_pickle(tmp_path / "cut.npy")


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(GenrecError, match=r"cannot read .*none\.npy"):
        load_npy(tmp_path / "none.npy")
    with pytest.raises(GenrecError, match="cannot read"):
        load_pickle(tmp_path)


def test_nothing_reads_pickles_another_way() -> None:
    source = Path(sys.modules["genrec"].__path__[0])
    for file in source.rglob("*.py"):
        assert "allow_pickle=True" not in file.read_text(), file

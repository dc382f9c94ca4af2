"""Tables with a row per item."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genrec.identifiers.tables import Tables, table

ROWS = torch.arange(6.0).view(3, 2) / 7
CODES = torch.tensor([[1, 2], [3, 4]])


class Part(Tables):
    def __init__(self, codes: Tensor = CODES) -> None:
        super().__init__()
        self.rows, self.codes = table(ROWS), table(codes, saved=True)
        self.weight = nn.Parameter(torch.full((2,), 0.3))
        self.register_buffer("chosen", torch.tensor(0.3))


def whole(codes: Tensor = CODES) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), Part(codes))


def test_nobody_sees_tables_but_the_device() -> None:
    model = whole()
    assert {name for name, _ in model.named_buffers()} == {"1.chosen"}
    assert "1.rows" not in model.state_dict()
    model.to("meta")
    part = model[1]
    assert part.rows.device.type == part.codes.device.type == "meta"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numbers_keep_their_bits_in_a_model_of_half_precision(dtype: torch.dtype) -> None:
    model = whole().to(dtype)
    part = model[1]
    assert model[0].weight.dtype == dtype
    assert torch.equal(part.rows, ROWS)
    assert torch.equal(part.codes, CODES)
    for kept in (part.weight, part.chosen):
        assert kept.dtype == torch.float32
        assert (kept == torch.tensor(0.3)).all()
    assert model.half().double()[1].rows.dtype == torch.float64


def test_saved_tables_come_back_whatever_their_size() -> None:
    state = copy.deepcopy(whole(torch.arange(12).view(4, 3)).state_dict())
    model = whole()
    assert model.load_state_dict(state) == ([], [])
    assert model[1].codes.tolist() == torch.arange(12).view(4, 3).tolist()
    state["1.codes"].zero_()
    assert model[1].codes[0, 1] == 1, "a copy"
    assert "1.codes" in state, "what was given is left as it was"


def test_what_a_table_is_set_to_is_that_table() -> None:
    model = whole()
    model[1].rows = model[1].rows[:1]
    assert "1.rows" not in model.state_dict()
    model[1].codes = CODES[:, :1]
    assert torch.equal(model.state_dict()["1.codes"], CODES[:, :1])
    again = copy.deepcopy(model).to("meta")[1]
    assert again.rows.device.type == again.codes.device.type == "meta"
    assert model[1].rows.device.type == "cpu"


def test_loading_says_what_is_missing_and_what_is_too_much() -> None:
    state = whole().state_dict()
    del state["1.codes"]
    state["1.rows"] = ROWS
    with pytest.raises(RuntimeError, match=r"Missing key.*1\.codes[\s\S]*Unexpected key.*1\.rows"):
        whole().load_state_dict(state)
    assert whole().load_state_dict(state, strict=False) == (["1.codes"], ["1.rows"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_mapped_table_stays_where_it_is(tmp_path: Path, dtype: torch.dtype) -> None:
    """No copy of it is made, not even one that is thrown away."""
    path, asked = tmp_path / "rows.npy", []
    np.save(path, ROWS.numpy())
    part = Part()
    part.rows = torch.from_numpy(np.load(path, mmap_mode="c"))
    place = part.rows.data_ptr()

    def shorter(tensor: Tensor) -> Tensor:
        asked.append(tensor.shape)
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    part._apply(shorter)
    part.to("cpu").float()
    assert ROWS.shape not in asked
    assert part.rows.data_ptr() == place
    assert torch.equal(part.rows, ROWS)

"""Two processes (gloo), with whole parameters or with shares of them, must give what one gives, to the last digits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from genrec.backbones.words import load_tokenizer
from genrec.data.sources.synthetic import Synthetic
from genrec.errors import GenrecError
from genrec.recommenders.sharding import FullySharded
from genrec.training.trainer import strategy_of

from ..pair import run_pair
from .alike import CASES, EPOCHS, QWEN, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one process, and two with either strategy, have trained and tested every case."""
    folder = tmp_path_factory.mktemp("alike")
    torch.manual_seed(0)
    tokenizer = load_tokenizer(None, Synthetic(users=61, items=60).load("data").catalog.titles)
    config = AutoConfig.for_model("qwen2", vocab_size=len(tokenizer), intermediate_size=64, **QWEN)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder / "pretrained")
    tokenizer.save_pretrained(folder / "pretrained")
    for case in CASES:
        (folder / f"auto-{case}.0.json").write_text(json.dumps(run(case, "auto", folder)))
    assert run_pair(str(Path(__file__).with_name("alike.py")), str(folder), "ddp", "fsdp") == [0, 0]
    return folder


def test_short_names_of_strategies() -> None:
    assert strategy_of("ddp", None)._ddp_kwargs["broadcast_buffers"] is False
    assert isinstance(strategy_of("fsdp", "bf16-mixed"), FullySharded)
    assert strategy_of("ddp_spawn", None) == "ddp_spawn", "Lightning knows it"
    with pytest.raises(GenrecError, match=r"fsdp` has no `trainer.precision: 16-mixed`: give one of 32-true, bf16"):
        strategy_of("fsdp", "16-mixed")


def found(folder: Path, name: str, rank: int = 0) -> dict[str, Any]:
    return dict(json.loads((folder / f"{name}.{rank}.json").read_text()))


def checkpoint(folder: Path, name: str) -> dict[str, Any]:
    # As serving reads it: nothing in it may need more than tensors and plain values.
    return dict(torch.load(folder / f"{name}.ckpt", weights_only=True))


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["steps"] == expected["steps"]
    assert found["method"] == expected["method"]
    assert found["logged"] == pytest.approx(expected["logged"])
    for setting, values in expected["results"].items():
        assert found["results"][setting] == pytest.approx(values, nan_ok=True), setting
    assert found["ranks"] == expected["ranks"], "every target of every user, once"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_give_what_one_gives(folder: Path, strategy: str, case: str) -> None:
    expected = found(folder, f"auto-{case}")
    assert expected["steps"] > 20
    for rank in (0, 1):
        assert_same(found(folder, f"{strategy}-{case}", rank), expected)
    kept, wanted = checkpoint(folder, f"{strategy}-{case}"), checkpoint(folder, f"auto-{case}")
    assert kept["state_dict"].keys() == wanted["state_dict"].keys()
    for name, tensor in wanted["state_dict"].items():
        torch.testing.assert_close(kept["state_dict"][name], tensor, atol=1e-8, rtol=1e-8, msg=name)
    (kept_optimizer,), (optimizer,) = kept["optimizer_states"], wanted["optimizer_states"]
    assert [group["params"] for group in kept_optimizer["param_groups"]] == [
        group["params"] for group in optimizer["param_groups"]
    ]
    for number, state in optimizer["state"].items():
        torch.testing.assert_close(kept_optimizer["state"][number], state, atol=1e-8, rtol=1e-8)


@pytest.mark.slow
def test_a_checkpoint_of_shares_holds_what_learns_alone(folder: Path) -> None:
    names = checkpoint(folder, "fsdp-lora")["state_dict"].keys()
    assert any("lora_A" in name for name in names)
    assert not [name for name in names if name.startswith("backbone") and "lora_" not in name]


@pytest.mark.slow
def test_one_process_goes_on_where_two_stopped_and_two_where_one_did(folder: Path) -> None:
    expected = run("lora", "auto", folder, folder / "auto-lora.ckpt", EPOCHS + 1, "expected")
    assert_same(run("lora", "auto", folder, folder / "fsdp-lora.ckpt", EPOCHS + 1, "joined"), expected)
    assert_same(found(folder, "resumed-lora"), json.loads(json.dumps(expected)))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_every_user_is_predicted_once_and_a_process_may_have_nobody(folder: Path, strategy: str) -> None:
    parts = [found(folder, f"{strategy}-t5", rank) for rank in (0, 1)]
    assert sorted(parts[0]["predicted"] + parts[1]["predicted"]) == list(range(parts[0]["users"]))
    assert parts[0]["results"]["all"]["users"] == 1, "the second process ranked nobody, and the first did not wait"


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_processes_draw_their_own_random_numbers(folder: Path, strategy: str) -> None:
    drawn = [found(folder, f"{strategy}-lora", rank)["drawn"] for rank in (0, 1)]
    assert drawn[0] != drawn[1]

"""Language models that somebody else made: no larger than their files, whole, and none but themselves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration

from genrec import load
from genrec.errors import GenrecError
from genrec.identifiers.names import ItemNames
from genrec.io.bounds import ENTRY, SPARE, at_most, lifted

from ..models import t5_tokenizer
from ..served import SETREC, T5, make_run, recommender
from ..serving.test_hostile import BACKBONE, EVIL, forge, place, recommend

LANGUAGE_MODEL = "language_model"


def test_parameters_are_counted_before_they_are_filled() -> None:
    with at_most(lambda: 0, "nothing"):
        nn.Linear(10, 10)
        with pytest.raises(GenrecError, match=r"the model has [0-9,]+ numbers or more, which nothing cannot hold"):
            nn.Linear(2, SPARE // 2 - ENTRY // 2)
        with lifted():
            nn.Embedding(SPARE, 2, device="meta")
        with at_most(lambda: 2 * SPARE, "a file"):
            nn.Embedding(SPARE, 2, device="meta")
    with at_most(lambda: 0, "nothing"):
        # A tied weight counts once.
        tied = nn.Embedding(SPARE // 2, 1)
        other = nn.Linear(1, 1, bias=False)
        other.weight = tied.weight
    # It is over.
    nn.Embedding(SPARE, 2, device="meta")


@pytest.mark.parametrize("token", [10, 10**12, -2])
def test_identifiers_of_tokens_that_are_not_there(token: int) -> None:
    names = ItemNames()
    names.words, names.codes = 10, torch.tensor([[9, -1], [token, 0]])
    with pytest.raises(GenrecError, match="tokens that the language model does not have"):
        names.extend(2, lambda known: known)
    names.extend(1, lambda known: known)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved recommender with a language model of its own."""
    folder = tmp_path_factory.mktemp("bounds")
    special: dict[str, Any] = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    T5ForConditionalGeneration(T5Config(vocab_size=300, **T5, **special)).save_pretrained(folder / "t5")
    t5_tokenizer([f"Item {number} of Halden, a knife" for number in range(50)], 100).save_pretrained(folder / "t5")
    backbone = {"class_path": "genrec.backbones.T5Backbone", "init_args": {"pretrained": str(folder / "t5")}}
    load(make_run(folder, recommender(SETREC, backbone))).save_pretrained(folder / "saved")
    return folder / "saved"


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "given" / "saved")
    monkeypatch.chdir(tmp_path / "given" / "saved")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "given" / "saved"


def config(folder: Path, **values: Any) -> None:
    path = folder / LANGUAGE_MODEL / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    path = folder / LANGUAGE_MODEL / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


def adapter(folder: Path, base: str) -> None:
    about = {"base_model_name_or_path": base, "peft_type": "LORA", "r": 10**6, "target_modules": ["q"]}
    (folder / LANGUAGE_MODEL / "adapter_config.json").write_text(json.dumps(about))


def elsewhere(folder: Path) -> None:
    shutil.move(folder / LANGUAGE_MODEL / "model.safetensors", folder.parent / "other.safetensors")
    index = {"metadata": {}, "weight_map": {"shared.weight": "../../other.safetensors"}}
    (folder / LANGUAGE_MODEL / "model.safetensors.index.json").write_text(json.dumps(index))


HOLD = "its files cannot hold"
MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "wide": (partial(config, d_model=10**6), HOLD),
    "many words": (partial(config, vocab_size=10**8), HOLD),
    "many layers": (partial(config, num_layers=10**6), HOLD),
    "half of the weights": (
        partial(weights, change=lambda old: dict(list(old.items())[::2])),
        "of its weights, such as",
    ),
    "other shapes": (
        partial(weights, change=lambda old: {name: old[name][:1] for name in old}),
        "cannot load the model",
    ),
    "an adapter of a folder": (partial(adapter, base="/"), "names another model, where none belongs"),
    "an adapter of the hub": (partial(adapter, base="evil/model"), "names another model, where none belongs"),
    "weights outside": (elsewhere, "names `../../other.safetensors`, which was not saved"),
    "no object": (lambda folder: (folder / LANGUAGE_MODEL / "config.json").write_text("[1]"), "saved"),
    "weights of another library": (partial(config, quantization_config={"quant_method": "gptq", "bits": 4}), "GPTQ"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_language_model_of_others(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, reason = MODELS[name]
    change(folder)
    forge(folder)
    assert reason in recommend(capsys, folder)


@pytest.mark.parametrize(
    "values",
    [
        {"auto_map": {"AutoConfig": f"{EVIL}.Evil", "AutoModel": f"{EVIL}.Evil"}, "trust_remote_code": True},
        {"_name_or_path": "/", "_attn_implementation": "evil/kernel", "attn_implementation": "evil/kernel"},
    ],
    ids=["code", "names"],
)
def test_what_a_language_model_names_is_not_looked_up(values: dict[str, Any], folder: Path) -> None:
    (folder / LANGUAGE_MODEL / f"{EVIL}.py").write_text("raise SystemExit")
    with pytest.raises(GenrecError, match="does not belong to what was saved"):
        load(folder)
    (folder / LANGUAGE_MODEL / f"{EVIL}.py").unlink()
    config(folder, **values)
    forge(folder)
    assert load(folder).recommend([[]], k=2).height == 2


def test_a_model_of_a_name_is_no_larger_than_its_files(folder: Path, tmp_path: Path) -> None:
    """Of a recommender whose language model is elsewhere."""
    shutil.copytree(folder / LANGUAGE_MODEL, tmp_path / "named")
    elsewhere = str(tmp_path / "named")
    forge(folder, lambda about: (place(about, f"{BACKBONE}/init_args/pretrained", elsewhere), about["folders"].clear()))
    assert load(folder).recommend([[]], k=2).height == 2
    path = tmp_path / "named" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "d_model": 10**6}))
    with pytest.raises(GenrecError, match=HOLD):
        load(folder)

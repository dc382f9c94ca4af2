from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, T5EncoderModel

from genrec.backbones import Backbone
from genrec.backbones import encoder as module
from genrec.io import progress
from genrec.testing import tiny_backbone

from .tokens import random_tokens

TEXTS = ["red train", "", "blue boat next to a red train", "a", "red"]


def checksum(tensors: Any) -> float:
    return float(sum(tensor.double().abs().sum() for tensor in tensors))


def lora(folder: Path) -> Backbone:
    pretrained = tiny_backbone("causal")
    pretrained.model.save_pretrained(folder)  # type: ignore[union-attr, operator]
    pretrained.tokenizer.save_pretrained(folder)
    return tiny_backbone("causal", sizes=None, pretrained=str(folder), tuning="lora")


@pytest.fixture(params=["t5", "causal", "lora"])
def backbone(request: pytest.FixtureRequest, tmp_path: Path) -> Backbone:
    return lora(tmp_path) if request.param == "lora" else tiny_backbone(request.param)


def test_a_text_is_the_same_in_any_batch(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = backbone.encoder()
    together = encoder(TEXTS)
    assert together.shape == (5, backbone.width)
    assert together.dtype == torch.float32
    assert torch.isfinite(together).all()
    alone = torch.cat([encoder([text]) for text in TEXTS])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    monkeypatch.setattr(module, "BATCH", 2)
    torch.testing.assert_close(encoder(TEXTS), alone, atol=1e-4, rtol=0)
    assert torch.cdist(together, together)[~torch.eye(5, dtype=torch.bool)].min() > 1e-2, "texts differ"


def test_many_texts_are_counted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (("MANY", 4), ("SILENCE", 0)):
        monkeypatch.setattr(progress, name, value)
    monkeypatch.setattr(module, "BATCH", 2)
    tiny_backbone("t5").encoder()(TEXTS)
    said = [line.rpartition(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert said == ["encoded 2 of 5 texts", "encoded 4 of 5 texts"]


def test_t5_is_the_mean_of_its_encoder() -> None:
    backbone: Any = tiny_backbone("t5")
    plain: Any = T5EncoderModel(backbone.t5.config.__class__(**backbone.t5.config.to_dict()))
    plain.encoder.load_state_dict(backbone.t5.encoder.state_dict())
    for text, found in zip(TEXTS, backbone.encoder()(TEXTS), strict=True):
        ids = backbone.tokenizer(text, add_special_tokens=False)["input_ids"] or [backbone.start]
        expected = plain.eval()(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_decoder_is_its_last_state(tmp_path: Path) -> None:
    backbone: Any = tiny_backbone("causal")
    backbone.model.save_pretrained(tmp_path)
    plain = AutoModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    for text, found in zip(TEXTS, backbone.encoder()(TEXTS), strict=True):
        ids = backbone.tokenizer(text, add_special_tokens=False)["input_ids"] or [backbone.start]
        expected = plain(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_training_changes_the_model_and_not_the_encoder(backbone: Backbone) -> None:
    encoder, context = backbone.encoder(), random_tokens(2, 3)

    def written() -> Tensor:
        return backbone(context, random_tokens(1, 1))

    before, wrote = encoder(TEXTS), written()
    learned = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    with torch.no_grad():
        for parameter in learned:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    assert (written() - wrote).abs().max() > 1e-3
    after = encoder(TEXTS)
    assert torch.equal(after, before)
    assert checksum(after) == checksum(before)
    assert [parameter for parameter in backbone.parameters() if parameter.requires_grad] == learned


def test_it_never_trains(backbone: Backbone) -> None:
    encoder = backbone.encoder()
    before = encoder(TEXTS)
    encoder.train()
    backbone.train()
    assert torch.equal(encoder(TEXTS), before)
    assert backbone.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_only_a_copy_is_saved(tmp_path: Path) -> None:
    assert lora(tmp_path).encoder().state_dict() == {}
    backbone = tiny_backbone("t5")
    encoder, other = backbone.encoder(), tiny_backbone("t5")
    with torch.no_grad():
        other.head().add_(1.0)
    loaded = other.encoder()
    assert (loaded(TEXTS) - encoder(TEXTS)).abs().max() > 1e-2
    loaded.load_state_dict(encoder.state_dict())
    assert torch.equal(loaded(TEXTS), encoder(TEXTS))


def test_the_fingerprint_is_of_the_model_and_the_tokens(tmp_path: Path) -> None:
    backbone = lora(tmp_path)
    before = backbone.encoder().fingerprint(TEXTS)
    for parameter in backbone.parameters():
        if parameter.requires_grad:
            parameter.data.add_(1.0)
    assert backbone.encoder().fingerprint(TEXTS) == before, "adapters do not count"
    assert backbone.encoder().fingerprint(TEXTS[1:])["tokens"] != before["tokens"]
    next(parameter for parameter in backbone.parameters() if not parameter.requires_grad).data.add_(1.0)
    after = backbone.encoder().fingerprint(TEXTS)
    assert after["weights"] != before["weights"]
    assert after["tokens"] == before["tokens"]

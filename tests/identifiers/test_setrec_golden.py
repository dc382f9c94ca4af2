"""SETRec against the numbers of the authors' release, on the release's fixed weights.

What each key of the files means is said in ``shared/golden/README.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AttentionInterface, T5Config, T5Model

from genrec.backbones import T5Backbone
from genrec.backbones.attention import masks
from genrec.backbones.t5 import ATTENTION, _attend
from genrec.identifiers import SETRec
from genrec.recommenders.prompts import Prompt
from genrec.types import Tokens

BATCHES = ("b0", "b1", "user", "empty")
RELEASE = {"blind": False, "query_mask": "additive", "positions": "raw"}
VARIANTS: dict[str, dict[str, Any]] = {
    "": RELEASE,
    "variant.hard_query_mask.": {**RELEASE, "query_mask": "sets"},
    "variant.hard_query_mask+compact_positions.": {"blind": False},
    "variant.paper.": {},
}
SIZES = {
    "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
    "dropout_rate": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Tensor]:
    files = [
        np.load(shared / "golden" / f"{name}.npz") for name in ("t5_tiny", "ae_encoder", "ae_decoder", "items_300")
    ]
    return {key: torch.from_numpy(np.asarray(file[key])) for file in files for key in file.files}


class Release:
    """Our SETRec, T5 and prompt with the release's weights in them."""

    def __init__(self, golden: Mapping[str, Tensor], blind: bool = True, **options: Any) -> None:
        self.golden = golden
        self.backbone = T5Backbone(sizes=SIZES, **options)
        # As its `setup` does, which would make other weights.
        AttentionInterface.register(ATTENTION, _attend)
        config = T5Config(vocab_size=32128, **SIZES)
        config._attn_implementation = ATTENTION
        self.backbone.t5, self.backbone.width = T5Model(config), 64
        weights = {key.removeprefix("weights."): value for key, value in golden.items() if key.startswith("weights.")}
        t5 = {
            k.removeprefix("t5_model."): v
            for k, v in weights.items()
            if k.startswith("t5_model.") and "prompt_rows" not in k
        }
        queries = t5.pop("decoder.query_emb.weight")
        missing, unexpected = self.backbone.t5.load_state_dict(t5, strict=False)
        assert not unexpected
        assert all("embed_tokens" in key or key == "shared.weight" for key in missing)

        self.prompt = Prompt()
        for name, ids in (("prefix", "instruct_ids"), ("suffix", "response_ids")):
            self.prompt.register_buffer(name, golden[f"prompt.{ids}"])
        rows = torch.cat([self.prompt.prefix, self.prompt.suffix])
        with torch.no_grad():
            self.backbone.t5.shared.weight[rows] = weights["t5_model.shared.weight.prompt_rows"]

        assets = SimpleNamespace(text=golden["item_features"], cf=golden["cf_embeddings"])
        catalog: Any = range(300)
        self.setrec = SETRec(n_semantic=4, alpha=0.7, blind=blind)
        self.setrec.setup(catalog, assets, self.backbone)  # type: ignore[arg-type]
        self.setrec.load_state_dict({"queries": queries, **self._tokenizers(weights)}, strict=False)
        self.setrec.index(catalog, assets)  # type: ignore[arg-type]

    def _tokenizers(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The release's layer numbers are 1, 4, 7, 10 (dropout, linear, ReLU), ours 0, 2, 4, 6."""
        names = {"cf_projection.weight": "input_proj.weight", "cf_projection.bias": "input_proj.bias"}
        for half in ("encoder", "decoder"):
            for ours, theirs in ((0, 1), (2, 4), (4, 7), (6, 10)):
                for kind in ("weight", "bias"):
                    names[f"autoencoder.{half}.{ours}.{kind}"] = f"tokenizer.{half}.mlp_layers.{theirs}.{kind}"
        self.names = names
        source = {**weights, **{k: v for k, v in self.golden.items() if k.startswith("tokenizer.")}}
        return {ours: source[theirs] for ours, theirs in names.items()}

    def context(self, history: Tensor) -> Tokens:
        return self.prompt(self.backbone, self.setrec.embed(history))

    def scores(self, history: Tensor) -> Tensor:
        """[K, B, N], the inner products per dimension."""
        written = self.backbone(self.context(history), self.setrec._query())
        return torch.einsum("bkd,nkd->kbn", written, self.setrec.corpus)

    def losses(self, batch: str) -> dict[str, Tensor]:
        history, target = self.golden[f"{batch}.inputs"] - 1, self.golden[f"{batch}.labels"][:, 0]
        return self.setrec.loss(self.backbone, self.context(history), history, target)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("batch", BATCHES)
def test_scores(golden: dict[str, Tensor], variant: str, batch: str) -> None:
    model = Release(golden, **VARIANTS[variant])
    model.setrec.eval()
    model.backbone.eval()
    with torch.no_grad():
        scores = model.scores(golden[f"{batch}.inputs"] - 1)
    torch.testing.assert_close(scores, golden[f"{variant}{batch}.scores"], atol=1e-4, rtol=1e-4)


def test_the_variants_differ_by_more_than_the_tolerance(golden: dict[str, Tensor]) -> None:
    scores = [golden[f"{variant}b0.scores"] for variant in VARIANTS]
    assert all((a - b).abs().max() > 1e-2 for i, a in enumerate(scores) for b in scores[:i])


def test_corpus(golden: dict[str, Tensor]) -> None:
    corpus = Release(golden).setrec.corpus
    expected = torch.cat([golden["corpus.cf"], golden["corpus.sem"]]).transpose(0, 1)
    torch.testing.assert_close(corpus, expected, atol=1e-4, rtol=1e-4)


def test_positions_of_the_release(golden: dict[str, Tensor]) -> None:
    sets = torch.tensor([[-1] * 11 + [item for item in range(8) for _ in range(5)] + [-1] * 3])
    tokens = Tokens(torch.zeros(1, 54, 1), torch.ones(1, 54, dtype=torch.bool), sets)
    assert masks.raw_positions(tokens)[0].tolist() == golden["positions.len11_8items_5tok_len3"].tolist()


@pytest.mark.parametrize("batch", BATCHES)
def test_losses_of_the_release(golden: dict[str, Tensor], batch: str) -> None:
    losses = Release(golden, **RELEASE).losses(batch)
    # The release takes the mean over the items of a batch, we that over its targets, of whom some have no history; the
    # errors of its items are all about the same.
    taken = (golden[f"{batch}.inputs"] > 0).any(1).float().mean()
    generation, reconstruction = golden[f"{batch}.loss_gen"], golden[f"{batch}.loss_ae"] * taken
    expected = {"generation": generation, "reconstruction": reconstruction, "loss": generation + 0.7 * reconstruction}
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, atol=1e-4, rtol=1e-4)


def test_loss_of_the_paper(golden: dict[str, Tensor]) -> None:
    torch.testing.assert_close(
        Release(golden).losses("b0")["loss"], golden["variant.paper.b0.loss"], atol=1e-4, rtol=1e-4
    )


def test_gradients_of_the_release(golden: dict[str, Tensor]) -> None:
    model = Release(golden, **RELEASE)
    model.losses("b0")["loss"].backward()
    ours = {f"t5_model.{name}": p for name, p in model.backbone.t5.named_parameters()}
    ours |= {model.names[name]: p for name, p in model.setrec.named_parameters() if name in model.names}
    ours["t5_model.decoder.query_emb.weight"] = model.setrec.queries
    norms = {key.removeprefix("gradnorm."): value for key, value in golden.items() if key.startswith("gradnorm.")}
    assert len(norms) > 40
    for name, norm in norms.items():
        gradient = ours[name].grad
        assert gradient is not None, name
        torch.testing.assert_close(gradient.norm(), norm, atol=1e-4, rtol=1e-4, msg=lambda m, name=name: f"{name}: {m}")


def test_final_scores_and_ranking(golden: dict[str, Tensor]) -> None:
    model = Release(golden, **RELEASE)
    model.setrec.eval()
    allowed = torch.ones(1, 300, dtype=torch.bool)
    with torch.no_grad():
        memory = model.backbone.read(model.context(golden["user.inputs"] - 1))
        sweep = model.setrec.rank_each(model.backbone, memory, 10, allowed)
        for beta in (0.1, 0.5, 0.9):
            model.setrec.choose(beta)
            ranking = model.setrec.rank(model.backbone, memory, 10, allowed)
            items = ranking.items[0, 0]
            assert items.tolist() == golden[f"user.top10_beta{beta}"].tolist() == sweep[beta].items[0, 0].tolist()
            expected = golden[f"user.final_beta{beta}"][items]
            torch.testing.assert_close(ranking.scores[0, 0], expected, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(sweep[beta].scores[0, 0], expected, atol=1e-4, rtol=1e-4)

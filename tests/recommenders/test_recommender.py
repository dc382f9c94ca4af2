from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import polars as pl
import pytest
import torch

from genrec.assets import Assets, ItemAssets, ReleasedCF, TfidfText
from genrec.backbones import CausalBackbone, T5Backbone
from genrec.data import Catalog, Dataset, InMemory, Ragged, SequenceData
from genrec.errors import GenrecError
from genrec.identifiers import SETRec
from genrec.recommenders.recommender import Recommender
from genrec.testing import quiet_trainer
from genrec.testing.tiny import QWEN
from genrec.types import PAD, Batch

from ..windows import all_prefixes

SIZES = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 4}


class Setup:
    """A SETRec on twelve items, and what trains it."""

    def __init__(self, dataset: Dataset, folder: Path, **options: object) -> None:
        self.data = SequenceData(InMemory(dataset), batch_size=8)
        self.folder = folder
        torch.manual_seed(0)
        self.module = Recommender(
            SETRec(n_semantic=2),
            T5Backbone(sizes=dict(SIZES)),
            Assets(text=TfidfText(dim=8), cf=ReleasedCF(), root=str(folder)),
            ks=(1, 2),
            **options,  # type: ignore[arg-type]
        )

    def trainer(self, **options: object) -> L.Trainer:
        return quiet_trainer(**{"default_root_dir": self.folder, "max_epochs": 1, **options})


def test_the_identifier_may_learn_at_a_rate_of_its_own(dataset: Dataset, tmp_path: Path) -> None:
    rates = {}
    for lr in (None, 0.5):
        made = Setup(dataset, tmp_path, identifier_lr=lr)
        made.trainer(max_steps=1).fit(made.module, made.data)
        groups = made.module.optimizers().param_groups  # type: ignore[union-attr]
        assert sum(len(group["params"]) for group in groups) == len(list(made.module.parameters()))
        rates[lr] = [group["initial_lr"] for group in groups]
    assert rates == {None: [1e-3] * 4, 0.5: [1e-3, 1e-3, 0.5, 0.5]}


class Speaker(SETRec):
    """Its items are called by words that stand in no title."""

    def texts(self, catalog: Catalog, assets: ItemAssets) -> list[str]:
        return [*catalog.titles, *["zebrafish"] * 3]


def test_a_new_tokenizer_learns_what_the_identifier_writes(dataset: Dataset, tmp_path: Path) -> None:
    made = Setup(dataset, tmp_path)
    made.module.identifier = Speaker(n_semantic=2)
    made.trainer().validate(made.module, made.data, verbose=False)
    read = made.module.backbone.tokenizer(["zebrafish", "webcamera"], add_special_tokens=False)
    known, strange = map(len, read["input_ids"])
    assert (known, strange > 4) == (1, True)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (
            lambda losses: {"generation": losses["loss"]},
            "`loss` of SETRec returned generation: .* the one under `loss`",
        ),
        (lambda losses: {}, "`loss` of SETRec returned nothing"),
        (lambda losses: losses["loss"], "`loss` of SETRec returned a Tensor"),
        (lambda losses: {"loss": losses["loss"].expand(3)}, r"a loss of shape \[3\]: it has to be a scalar"),
    ],
)
@pytest.mark.parametrize("samples", ["prefixes", "windows"])
def test_a_loss_that_is_none_is_refused(
    samples: Any, returned: Any, said: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Setup(dataset, tmp_path)
    made.data = SequenceData(InMemory(dataset), batch_size=8, samples=samples)
    if samples == "windows":
        made.module.backbone = CausalBackbone(sizes=dict(QWEN))
    whole = made.module.identifier.loss
    monkeypatch.setattr(made.module.identifier, "loss", lambda *args: returned(whole(*args)))
    with pytest.raises(GenrecError, match=said):
        made.trainer(max_steps=1).fit(made.module, made.data)


class Coded(SETRec):
    """One that says of its items that they have codes, which most of them share."""

    def item_codes(self) -> tuple[torch.Tensor, list[int]]:
        return torch.tensor([[0, 1]] * 9 + [[1, 0], [1, 1], [2, 2]]), [3, 3]


def test_items_that_cannot_be_told_apart_are_told_of_once(
    dataset: Dataset, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    made = Setup(dataset, tmp_path)
    made.module.identifier = Coded(n_semantic=2)
    trainer = made.trainer()
    for _ in range(2):
        trainer.validate(made.module, made.data, verbose=False)
    trainer.test(made.module, made.data, verbose=False)
    (message,) = [str(one.message) for one in recwarn if "codes" in str(one.message)]
    assert message.startswith("9 of 12 items share all of their codes with another, up to 9 the same: ")


@pytest.fixture
def made(dataset: Dataset, tmp_path: Path) -> Setup:
    return Setup(dataset, tmp_path)


def test_the_learning_rate_warms_up_and_falls_to_zero(made: Setup) -> None:
    made.module.warmup_steps = 4
    trainer = made.trainer(max_epochs=3)
    trainer.fit(made.module, made.data)
    schedule = trainer.lr_scheduler_configs[0].scheduler
    steps = trainer.global_step
    rates = [schedule.lr_lambdas[0](step) for step in range(steps + 1)]
    assert rates[:5] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert rates[-1] == pytest.approx(0)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_the_chosen_beta_is_in_the_checkpoint_and_the_tables_are_not(
    made: Setup, dataset: Dataset, tmp_path: Path
) -> None:
    trainer = made.trainer()
    trainer.fit(made.module, made.data)
    made.module.choose(0.3)
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    saved = torch.load(tmp_path / "kept.ckpt", weights_only=True)["state_dict"]
    assert saved["identifier.beta"] == pytest.approx(0.3)
    assert not {name for name, value in saved.items() if name.startswith("identifier") and len(value.shape) == 3}

    again = Setup(dataset, tmp_path)
    with torch.no_grad():
        again.trainer().test(again.module, again.data, ckpt_path=tmp_path / "kept.ckpt", verbose=False)
    trainer.test(made.module, made.data, verbose=False)
    assert again.module.results["all"] == pytest.approx(made.module.results["all"], abs=1e-6)


@pytest.mark.parametrize("kind", ["t5", "packed"])
def test_a_plain_trainer_trains_what_it_has_tested(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    """Nothing that a test makes in inference mode is in the way of a training."""
    made = Setup(dataset, tmp_path)
    module, data = causal(dataset, tmp_path, True, True) if kind == "packed" else (made.module, made.data)
    options: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
    trainer = L.Trainer(max_epochs=1, default_root_dir=tmp_path, **options)
    trainer.validate(module, data, verbose=False)
    trainer.test(module, data, verbose=False)
    learning = [part for child in (module.identifier, module.backbone, module.prompt) for part in child.modules()]
    held = [value for part in learning for value in vars(part).values() if isinstance(value, torch.Tensor)]
    assert not any(value.is_inference() for value in held)
    trainer.fit(module, data)
    assert trainer.global_step > 0
    trainer.test(module, data, verbose=False)
    assert module.results["all"]["users"] == 8


def test_no_gradients_lie_beside_the_next_forward_pass(dataset: Dataset, tmp_path: Path) -> None:
    made, held = Setup(dataset, tmp_path), list[int]()

    class Look(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, number: int) -> None:
            held.append(sum(parameter.grad is not None for parameter in module.parameters()))

    made.trainer(max_steps=2, accumulate_grad_batches=2, callbacks=[Look()]).fit(made.module, made.data)
    assert [number > 0 for number in held] == [False, True, False, True]


def test_new_items_are_recommended_without_training(made: Setup, dataset: Dataset) -> None:
    made.trainer().fit(made.module, made.data)
    module = made.module.eval()
    history = torch.tensor([[0, 1, 2, 3]])
    everything = torch.ones(1, 12, dtype=torch.bool)
    before = module.rank(history, 12, everything)
    module.add_items(pl.DataFrame({"item": ["new"], "title": ["red train number 3"], "brand": [None]}))
    after = module.rank(history, 13, torch.ones(1, 13, dtype=torch.bool))
    assert sorted(after.items[0, 0].tolist()) == list(range(13))
    kept = after.items[0, 0] != 12
    torch.testing.assert_close(after.scores[0, 0][kept], before.scores[0, 0])
    assert after.items[0, 0][kept].tolist() == before.items[0, 0].tolist()


def test_cut_offs_must_fit_the_catalogue(dataset: Dataset, tmp_path: Path) -> None:
    made = Setup(dataset, tmp_path)
    made.module.ks = (1, 13)
    with pytest.raises(GenrecError, match=r"k = 13 is larger than the catalogue of `twelve` \(12 items\)"):
        made.trainer().fit(made.module, made.data)
    with pytest.raises(GenrecError, match="positive"):
        Recommender(SETRec(), T5Backbone(sizes=dict(SIZES)), ks=())


def test_a_setting_with_too_few_candidates_is_left_out(made: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    made.module.ks = (1, 5)
    said = "cold is left out of the measuring: 4 candidates, fewer than k = 5 (`ks` of the model)"
    trainer = made.trainer(max_epochs=2)
    trainer.fit(made.module, made.data)
    assert capsys.readouterr().out.count(said) == 1
    assert {name for name in trainer.callback_metrics if "ndcg" in name} == {"val/ndcg@1", "val/ndcg@5"}
    trainer.validate(made.module, made.data, verbose=False)
    assert capsys.readouterr().out.count(said) == 1
    trainer.test(made.module, made.data, verbose=False)
    assert capsys.readouterr().out.count(said) == 1
    assert list(made.module.results)[:3] == ["all", "warm", "G1"]
    assert made.module.ranks.collect().columns == ["user", "item", "group", "rank_all", "rank_warm"]
    made.trainer().predict(made.module, made.data)
    assert "left out" not in capsys.readouterr().out, "predictions are not measured"


# One pass per user


def causal(dataset: Dataset, folder: Path, packed: bool, empty_history: bool) -> tuple[Recommender, SequenceData]:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    module = Recommender(
        SETRec(n_semantic=2),
        CausalBackbone(sizes={**sizes, "intermediate_size": 64}),
        Assets(text=TfidfText(dim=8), cf=ReleasedCF(), root=str(folder)),
        ks=(1, 2),
    )
    samples = "windows" if packed else "prefixes"
    return module, SequenceData(
        InMemory(dataset), batch_size=1000, max_history=5, samples=samples, empty_history=empty_history
    )


@pytest.fixture
def uneven(dataset: Dataset) -> Dataset:
    """Training lists of 1 to 8 items; windows of 5 cut some of them."""
    rng = torch.Generator().manual_seed(0)
    lists = [torch.randperm(9, generator=rng)[: user + 1].tolist() for user in range(8)]
    parts = (Ragged.from_lists(lists), dataset.validation, dataset.test)
    return Dataset("uneven", dataset.catalog, dataset.users, *parts, cf=dataset.cf)


@pytest.mark.parametrize("empty_history", [True, False])
def test_packed_training_is_training_on_every_prefix(uneven: Dataset, tmp_path: Path, empty_history: bool) -> None:
    found = []
    for packed in (True, False):
        module, data = causal(uneven, tmp_path, packed, empty_history)
        quiet_trainer(max_steps=0).fit(module, data)
        (batch,) = data.train_dataloader()
        assert (batch.prefixes is not None) == packed
        losses = module.train()._packed_losses(batch, batch.prefixes) if packed else module.train()._losses(batch)
        losses["loss"].backward()
        found.append((losses, {name: p.grad for name, p in module.named_parameters() if p.grad is not None}))
    for name, loss in found[0][0].items():
        torch.testing.assert_close(loss, found[1][0][name], atol=1e-5, rtol=1e-5)
    assert found[0][1].keys() == found[1][1].keys()
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], atol=1e-5, rtol=1e-4, msg=lambda said, n=name: n + said)


def test_every_prefix_once() -> None:
    batch = Batch(torch.arange(2), torch.tensor([[PAD, 4, 5], [1, 2, 3]]), torch.tensor([6, 0]), torch.empty(2, 0))
    users, stops, history, target = all_prefixes(batch)
    assert users.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert stops.tolist() == [1, 2, 3, 0, 1, 2, 3]
    assert target.tolist() == [4, 5, 6, 1, 2, 3, 0]
    assert history.tolist() == [
        [PAD, PAD, PAD],
        [PAD, PAD, 4],
        [PAD, 4, 5],
        [PAD, PAD, PAD],
        [PAD, PAD, 1],
        [PAD, 1, 2],
        [1, 2, 3],
    ]
    users, _, _, target = all_prefixes(batch, empty_history=False)
    assert target.tolist() == [5, 6, 2, 3, 0]


def test_samples_that_a_language_model_cannot_learn_from_are_refused(made: Setup, dataset: Dataset) -> None:
    data = SequenceData(InMemory(dataset), samples="users")
    with pytest.raises(GenrecError, match="`prefixes` or `windows`"):
        made.trainer().fit(made.module, data)


def test_a_checkpoint_of_adapters_is_small_and_complete(dataset: Dataset, tmp_path: Path) -> None:
    module, data = causal(dataset, tmp_path, packed=True, empty_history=True)
    quiet_trainer(max_steps=0).fit(module, data)
    module.backbone.model.save_pretrained(tmp_path / "base")
    module.backbone.tokenizer.save_pretrained(tmp_path / "base")

    def adapted() -> Recommender:
        module, _ = causal(dataset, tmp_path, packed=True, empty_history=True)
        module.backbone = CausalBackbone(pretrained=str(tmp_path / "base"), tuning="lora")
        return module

    trained = adapted()
    trainer = quiet_trainer(default_root_dir=tmp_path, max_epochs=2)
    trainer.fit(trained, data)
    assert all(part.training for part in trained.modules()), "with dropout, although it came in evaluation mode"
    trainer.save_checkpoint(tmp_path / "adapters.ckpt", weights_only=True)
    saved = torch.load(tmp_path / "adapters.ckpt", weights_only=True)["state_dict"]
    of_model = [name for name in saved if name.startswith("backbone")]
    assert of_model
    assert all("lora_" in name for name in of_model)

    loaded = adapted()
    trainer = quiet_trainer()
    trainer.validate(loaded, data, ckpt_path=tmp_path / "adapters.ckpt", verbose=False)
    history, everything = torch.tensor([[0, 1, 2]]), torch.ones(1, 12, dtype=torch.bool)
    for module in (trained, loaded):
        module.eval().refresh()
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.rank(history, 12, everything).scores, trained.rank(history, 12, everything).scores, atol=1e-5, rtol=0
        )

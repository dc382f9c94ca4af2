from __future__ import annotations

from pathlib import Path

import lightning as L
import polars as pl
import pytest
import torch

from genrec.assets import Assets, ReleasedCF, TfidfText
from genrec.backbones import T5Backbone
from genrec.data import Dataset, SequenceData
from genrec.data.dataset import InMemory
from genrec.errors import GenrecError
from genrec.identifiers import SETRec
from genrec.recommender import Recommender

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
        options = {"enable_checkpointing": False, "max_epochs": 1, **options}
        return L.Trainer(
            default_root_dir=self.folder,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            **options,  # type: ignore[arg-type]
        )


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


def test_cut_offs_must_fit_the_candidates(dataset: Dataset, tmp_path: Path) -> None:
    made = Setup(dataset, tmp_path)
    made.module.ks = (5,)
    with pytest.raises(GenrecError, match="`cold` candidate set"):
        made.trainer().fit(made.module, made.data)
    with pytest.raises(GenrecError, match="positive"):
        Recommender(SETRec(), T5Backbone(sizes=dict(SIZES)), ks=())

"""Lightning's own trainer, a module of one's own, and checkpoints that are loaded without a trainer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from genrec.assets import Assets, ReleasedCF, TfidfText
from genrec.data import Catalog, Dataset, InMemory, SequenceData
from genrec.errors import GenrecError
from genrec.identifiers import SETRec
from genrec.recommenders import Popularity, Recommender, SASRec
from genrec.testing import HISTORY, tiny_backbone
from genrec.types import Batch


def plain_trainer(folder: Path) -> L.Trainer:
    """As a notebook makes it, but silent."""
    return L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def objects(folder: Path) -> dict[str, Any]:
    assets = Assets(text=TfidfText(dim=8), cf=ReleasedCF(), root=str(folder))
    return {"identifier": SETRec(n_semantic=2), "backbone": tiny_backbone("t5"), "assets": assets}


@pytest.fixture
def trained(dataset: Dataset, tmp_path: Path) -> tuple[Recommender, Path]:
    model = Recommender(**objects(tmp_path), ks=(1, 2), warmup_steps=7, template="after <history> comes")
    trainer = plain_trainer(tmp_path)
    data = SequenceData(InMemory(dataset))
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, verbose=False)
    assert model.results["all"]["users"] == 8
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    return model.eval(), tmp_path / "mine.ckpt"


def test_a_checkpoint_of_lightning_s_own_trainer_is_loaded(
    trained: tuple[Recommender, Path], dataset: Dataset, tmp_path: Path
) -> None:
    model, path = trained
    data = SequenceData(InMemory(dataset))
    again = Recommender.load_from_checkpoint(path, data, **objects(tmp_path))
    assert (again.ks, again.warmup_steps, again.template) == ((1, 2), 7, "after <history> comes")
    everything = torch.ones(1, 12, dtype=torch.bool)
    with torch.no_grad():
        expected, found = model.rank(HISTORY, 12, everything), again.rank(HISTORY, 12, everything)
    assert found.items.equal(expected.items)
    torch.testing.assert_close(found.scores, expected.scores)
    assert Recommender.load_from_checkpoint(path, data, **objects(tmp_path), ks=(3,)).ks == (3,), "what is given wins"


def test_what_cannot_be_loaded_says_why(trained: tuple[Recommender, Path], dataset: Dataset, tmp_path: Path) -> None:
    _, path = trained
    data = SequenceData(InMemory(dataset))
    with pytest.raises(GenrecError, match="holds no objects: give identifier=, backbone=, assets= as in the training"):
        Recommender.load_from_checkpoint(path, data)
    with pytest.raises(GenrecError, match="made with other settings"):
        Recommender.load_from_checkpoint(path, data, **{**objects(tmp_path), "identifier": SETRec(n_semantic=3)})
    with pytest.raises(GenrecError, match=r"Popularity of `.*` has no argument `template`: is it of another class\?"):
        Popularity.load_from_checkpoint(path, data)
    other = replace(dataset, catalog=Catalog(dataset.catalog.items.with_columns(item=pl.col("item") + "x")))
    with pytest.raises(GenrecError, match="was trained on other data"):
        Recommender.load_from_checkpoint(path, SequenceData(InMemory(other)), **objects(tmp_path))
    contents = torch.load(path, weights_only=True)
    contents["arguments"]["values"]["template"] = {"class_path": "os.system"}
    torch.save(contents, tmp_path / "hostile.ckpt")
    with pytest.raises(GenrecError, match=r"`.*hostile.ckpt`: `template` is neither a number nor a text"):
        Recommender.load_from_checkpoint(tmp_path / "hostile.ckpt", data, **objects(tmp_path))
    contents["arguments"] = Path
    torch.save(contents, tmp_path / "hostile.ckpt")
    with pytest.raises(GenrecError, match=r"hostile.ckpt` is not a checkpoint, but asks for pathlib"):
        Recommender.load_from_checkpoint(tmp_path / "hostile.ckpt", data, **objects(tmp_path))


def test_loaders_alone_are_not_enough(dataset: Dataset, tmp_path: Path) -> None:
    data = SequenceData(InMemory(dataset), samples="users")
    with pytest.raises(GenrecError, match="SASRec takes its catalogue from the data module, not from loaders: give"):
        plain_trainer(tmp_path).fit(SASRec(dim=8, ks=(1,)), data.train_dataloader())


class Bigram(L.LightningModule):
    """A module that knows nothing of ours but the batches: what follows the last item."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Embedding(13, 12)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        scores = self.scores(batch.history[:, -1] + 1)
        loss = nn.functional.cross_entropy(scores, batch.target)
        self.log("loss", loss, batch_size=len(batch.target))
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.1)


def test_the_data_module_feeds_any_module_and_any_loop(dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    data, model = SequenceData(InMemory(dataset), batch_size=8), Bigram()
    trainer = plain_trainer(tmp_path)
    trainer.fit_loop.max_epochs = 20
    trainer.fit(model, datamodule=data)
    # Every series is walked through in order: what follows is known after it was seen.
    hits = [
        (model.scores(batch.history[:, -1] + 1).argmax(1) == batch.target)[batch.history[:, -1] != -1]
        for batch in SequenceData(InMemory(dataset)).train_dataloader()
    ]
    assert torch.cat(hits).all()
    assert len(torch.cat(hits)) == 24

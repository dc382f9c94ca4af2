from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import lightning as L
import numpy as np
import polars as pl
import pytest
import torch

from genrec.data import Catalog, Dataset, InMemory, Ragged, Release, SequenceData
from genrec.errors import GenrecError
from genrec.testing import quiet_trainer
from genrec.types import PAD, Batch


def tiny() -> Dataset:
    lists = [[0, 1, 2], [3, 4], [5, 0]], [[3], [], [1, 1, 2]], [[4, 5], [0], []]
    catalog = Catalog(pl.DataFrame({"item": list("abcdef")}))
    return Dataset("tiny", catalog, ["u", "v", "w"], *map(Ragged.from_lists, lists))


def by_user(loader) -> dict[int, tuple[list[int], int, list[int]]]:
    rows = {}
    for batch in loader:
        assert isinstance(batch, Batch)
        assert all(tensor.dtype == torch.long for tensor in batch[:4])
        for user, history, target, targets in zip(*(tensor.tolist() for tensor in batch[:4]), strict=True):
            assert user not in rows
            rows[user] = ([i for i in history if i != PAD], target, [i for i in targets if i != PAD])
    return rows


def test_what_each_loader_shows() -> None:
    data = SequenceData(InMemory(tiny()), rank_batch_size=2)
    assert by_user(data.val_dataloader()) == {0: ([0, 1, 2], 3, [3]), 2: ([5, 0], 1, [1, 2])}
    assert by_user(data.test_dataloader()) == {0: ([0, 1, 2, 3], 4, [4, 5]), 1: ([3, 4], 0, [0])}
    assert by_user(data.predict_dataloader()) == {
        0: ([0, 1, 2, 3, 4, 5], PAD, []),
        1: ([3, 4, 0], PAD, []),
        2: ([5, 0, 1, 1, 2], PAD, []),
    }


def many(users: int) -> Dataset:
    lists = [[0] * (user % 20 + 1) for user in range(users)]
    once = Ragged.from_lists([[1]] * users)
    catalog = Catalog(pl.DataFrame({"item": list("abcdef")}))
    return Dataset("many", catalog, list(map(str, range(users))), Ragged.from_lists(lists), once, once)


def test_some_users_stand_for_all_in_a_validation() -> None:
    def users(loader) -> list[int]:
        return sorted(user for batch in loader for user in batch.users.tolist())

    data = SequenceData(InMemory(many(400)), rank_batch_size=16, val_users=100)
    chosen = users(data.val_dataloader())
    assert len(set(chosen)) == 100
    assert users(data.val_dataloader()) == chosen, "the same in every validation"
    assert abs(np.mean([user % 20 for user in chosen]) - 9.5) < 1.5
    assert users(SequenceData(InMemory(many(400)), val_users=100, seed=1).val_dataloader()) != chosen
    assert users(data.test_dataloader()) == list(range(400))
    with pytest.raises(GenrecError, match="positive number"):
        SequenceData(InMemory(many(4)), val_users=0)


def test_a_few_samples_are_all_that_is_learned_from() -> None:
    def learned(loader) -> list[int]:
        return sorted(user for batch in loader for user in batch.users.tolist())

    loader = SequenceData(InMemory(many(400)), batch_size=8, few_shot=50).train_dataloader()
    first = learned(loader)
    assert len(first) == 50
    assert learned(loader) == first, "the same in every epoch"
    assert learned(SequenceData(InMemory(many(400)), few_shot=50, seed=1).train_dataloader()) != first
    with pytest.raises(GenrecError, match="null for all samples, not 0"):
        SequenceData(InMemory(many(4)), few_shot=0)


@pytest.mark.parametrize("limit", [{"limit_val_batches": 2}, {"limit_val_batches": 0.08}, {"fast_dev_run": 2}])
def test_a_limited_validation_looks_at_random_users(tmp_path: Path, limit: dict[str, float]) -> None:
    lengths: list[int] = []

    class Looker(Recorder):
        def validation_step(self, batch: Batch, _: int) -> None:
            lengths.extend((batch.history != PAD).sum(1).tolist())

    trainer = quiet_trainer(default_root_dir=tmp_path, **limit)
    trainer.validate(Looker(), SequenceData(InMemory(many(400)), rank_batch_size=16), verbose=False)
    assert len(lengths) == 32
    assert abs(np.mean(lengths) - 10.5) < 4, "the longest have 20"
    assert lengths == sorted(lengths, reverse=True)


def test_the_seed_of_everything_is_that_of_the_order_unless_a_key_fixes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def order(seed_everything: int, **options: int) -> list[list[int]]:
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed_everything))
        return [batch.users.tolist() for batch in SequenceData(InMemory(many(400)), **options).train_dataloader()]

    assert order(1) == order(1) == order(2, seed=1)
    assert order(1) != order(2)


def test_modes_of_training_samples() -> None:
    def targets(**options) -> list[int]:
        loader = SequenceData(InMemory(tiny()), batch_size=2, **options).train_dataloader()
        return sorted(target for batch in loader for target in batch.target.tolist())

    assert targets() == sorted([0, 1, 2, 3, 4, 5, 0])
    assert targets(empty_history=False) == sorted([1, 2, 4, 0])
    assert targets(max_history=2) == sorted([1, 2, 3, 4, 5, 0])
    assert targets(samples="windows") == targets(samples="users") == sorted([2, 4, 0])


@pytest.mark.parametrize(("samples", "expected"), [("prefixes", 7), ("windows", 7), ("users", 4)])
def test_a_batch_knows_how_many_targets_it_has(samples: str, expected: int) -> None:
    data = SequenceData(InMemory(tiny()), batch_size=3, samples=samples)  # type: ignore[arg-type]
    assert sum(batch.examples for batch in data.train_dataloader()) == expected
    for batch in data.train_dataloader():
        assert batch.examples == batch.step_examples
        assert (batch.prefixes is not None) == (samples == "windows")
        if batch.prefixes:
            assert batch.examples == len(batch.prefixes.users)


def test_without_anything_to_learn_from_there_is_a_reason() -> None:
    lists = [[1], [2]], [[3], [3]], [[4], [4]]
    catalog = Catalog(pl.DataFrame({"item": list("abcde")}))
    alone = Dataset("alone", catalog, ["u", "v"], *map(Ragged.from_lists, lists))
    with pytest.raises(GenrecError, match="alone: no user has taken enough"):
        SequenceData(InMemory(alone), samples="users").train_dataloader()


class Recorder(L.LightningModule):
    """Learns nothing and remembers the batches."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[tuple[int, ...]]] = []

    def on_train_epoch_start(self) -> None:
        self.seen.append([])

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        self.seen[-1].append(tuple(zip(batch.users.tolist(), batch.target.tolist(), strict=True)))
        return self.weight * 1.0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_workers_make_the_same_batches_in_the_same_order() -> None:
    epochs = []
    for workers in (0, 1):
        loader = SequenceData(InMemory(tiny()), batch_size=2, num_workers=workers).train_dataloader()
        epochs.append([[batch.target.tolist() for batch in loader] for _ in range(2)])
    assert epochs[0] == epochs[1]
    assert len(epochs[0][0]) > 1


def fit(folder: Path, epochs: int, checkpoint: str | None = None) -> list[list[tuple[int, ...]]]:
    trainer = quiet_trainer(max_epochs=epochs, default_root_dir=folder)
    module = Recorder()
    trainer.fit(module, SequenceData(InMemory(tiny()), batch_size=2), ckpt_path=checkpoint)
    trainer.save_checkpoint(folder / "last.ckpt")
    return module.seen


def test_lightning_advances_the_order_and_a_resumed_run_continues_it(tmp_path: Path) -> None:
    whole = fit(tmp_path, 3)
    assert whole[0] != whole[1]
    assert fit(tmp_path, 1) == whole[:1]
    assert fit(tmp_path, 3, str(tmp_path / "last.ckpt")) == whole[1:]


@pytest.mark.parametrize("share", [0, 1])
def test_the_trainers_rank_and_world_count(share: int) -> None:
    class Two:
        global_rank, world_size, accumulate_grad_batches = share, 2, 1
        limit_predict_batches = 1.0

    data = SequenceData(InMemory(tiny()), batch_size=2)
    data.trainer = Two()  # type: ignore[assignment]
    other = 1 - share
    mine = set(by_user(data.predict_dataloader()))
    Two.global_rank = other
    theirs = set(by_user(data.predict_dataloader()))
    assert mine | theirs == {0, 1, 2}
    assert not mine & theirs
    assert len(data.train_dataloader()) == 2  # 7 samples are 2 batches of 2 for each


def test_an_epoch_of_real_batches_is_fast(shared: Path) -> None:
    data = SequenceData(Release("toys"), root=str(shared / "data"))
    data.setup("fit")
    assert data.dataset is data.dataset
    began = time.perf_counter()
    samples = sum(len(batch.users) for batch in data.train_dataloader())
    assert samples == 112_904  # the release's own number of samples
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("key", ["batch_size", "rank_batch_size", "max_history", "num_workers", "seed"])
def test_numbers_that_are_too_small(key: str) -> None:
    with pytest.raises(GenrecError, match=rf"data\.{key} is -1: give [01] or more"):
        SequenceData(InMemory(tiny()), **{key: -1})


def test_what_the_reading_found_out_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    data = SequenceData(InMemory(replace(tiny(), notes={"findings": {"blank lines": 3, "separator": "tab"}})))
    data.setup("fit")
    data.setup("test")
    assert capsys.readouterr().err == "tiny: blank lines: 3; separator: tab\n"

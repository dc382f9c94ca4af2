"""Where targets stand in rankings, and that every metric follows from it."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.data import Catalog, Dataset, InMemory, Ragged, SequenceData, Synthetic
from genrec.errors import GenrecError
from genrec.evaluation import ranks
from genrec.evaluation.collecting import CollectedRanks, TargetRanks, target_ranks, write_ranks
from genrec.evaluation.protocol import RankingMetrics
from genrec.io import spool
from genrec.recommenders.references import ItemKNN
from genrec.testing import quiet_trainer
from genrec.types import PAD, Ranking

ITEMS, WARM, K = 15, 10, 4


def test_places_are_counted_from_one_and_zero_is_not_found() -> None:
    ranked = torch.tensor([[7, 4, 9], [1, 2, 3]])
    targets = torch.tensor([[9, 5, 7], [2, PAD, PAD]])
    assert target_ranks(ranked, targets).tolist() == [[3, 0, 1], [2, 0, 0]]


class Case:
    """A data set of random lists with five cold items, and a random ranking of it."""

    def __init__(self, seed: int, users: int = 12) -> None:
        rng = np.random.default_rng(seed)
        # Items 10 to 14 are cold; every other one is there at least once.
        train = [[*rng.integers(0, WARM, rng.integers(0, 5)), *[user][: user < WARM]] for user in range(users)]
        test = [rng.integers(0, ITEMS, rng.integers(0, 6)).tolist() for _ in range(users - 1)] + [[3, 3, 12]]
        self.dataset = Dataset(
            "random",
            Catalog(pl.DataFrame({"item": [f"key{item}" for item in range(ITEMS)]})),
            [f"user{user:02}" for user in range(users)],
            Ragged.from_lists(train),
            Ragged.from_lists([[0]] * users),
            Ragged.from_lists(test),
        )
        self.metrics = RankingMetrics(self.dataset.frequency, ks=(1, K))
        self.targets = self.dataset.test.unique()
        self.users = np.flatnonzero(self.targets.lengths)
        candidates = [np.arange(ITEMS), np.arange(WARM), np.arange(WARM, ITEMS)]
        self.items = np.array([[rng.permutation(rows)[:K] for _ in self.users] for rows in candidates])

    def rank(self, collected: TargetRanks, part: slice) -> None:
        items = torch.from_numpy(self.items[:, part])
        users, targets = self.users[part], torch.from_numpy(self.targets.padded(self.users[part]))
        self.metrics.update(Ranking(items, items.float()), targets)
        collected.update(items, torch.from_numpy(users), targets)

    def frame(self, folder: Path, *parts: slice) -> pl.DataFrame:
        """What processes that rank these users leave together."""
        folder = Path(mkdtemp(dir=folder))
        for process, part in enumerate(parts):
            collected = TargetRanks(folder, process)
            self.rank(collected, part)
            collected.close()
        # Without users a process ranks one who is not counted.
        idle = TargetRanks(folder, len(parts))
        idle.update(torch.arange(4).expand(3, 1, 4), torch.tensor([0]), torch.tensor([[PAD]]))
        idle.close()
        write_ranks(folder / "ranks.parquet", folder, self.metrics, self.dataset)
        return pl.read_parquet(folder / "ranks.parquet")


@given(seed=st.integers(0, 10_000))
def test_every_metric_follows_from_the_ranks(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    case = Case(seed)
    frame = case.frame(tmp_path_factory.getbasetemp(), slice(0, 5), slice(5, None))
    again = ranks.means(frame, case.metrics.names)
    expected = case.metrics.compute()
    assert list(again) == list(expected)
    for setting, values in expected.items():
        assert again[setting] == pytest.approx(values, abs=1e-12, nan_ok=True), setting


def test_a_row_says_where_its_target_stands(tmp_path: Path) -> None:
    case = Case(0)
    frame = case.frame(tmp_path, slice(None))
    assert frame.columns == ["user", "item", "group", "rank_all", "rank_warm", "rank_cold"]
    assert len(frame) == len(case.targets.values)
    groups = {f"key{item}": group for item, group in enumerate(_groups(case.dataset.frequency))}
    for user, item, group, *places in frame.iter_rows():
        row = case.users.tolist().index(int(user.removeprefix("user")))
        target = int(item.removeprefix("key"))
        assert group == groups[item]
        for number, (place, counts) in enumerate(zip(places, (True, target < WARM, target >= WARM), strict=True)):
            ranked = case.items[number, row].tolist()
            assert place == ((ranked.index(target) + 1 if target in ranked else 0) if counts else None)
    assert frame.filter(user="user11", item="key3").height == 1, "a target that occurs twice has one row"


def _groups(frequency: np.ndarray) -> list[int]:
    order = sorted(range(ITEMS), key=lambda item: (-frequency[item], item))
    return [order.index(item) // (ITEMS // 5) + 1 for item in range(ITEMS)]


@pytest.mark.parametrize("held", [1, 200, 2**24])
def test_users_stand_in_their_order_however_they_are_shared_out(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Case(1).frame(tmp_path, slice(None))
    monkeypatch.setattr(spool, "HELD", held)
    shared = Case(1).frame(tmp_path, slice(0, None, 2), slice(1, None, 2))
    assert shared.equals(whole)
    case = Case(1)
    assert whole["user"].to_list() == [case.dataset.users[user] for user in case.targets.rows]
    assert whole["item"].to_list() == [f"key{item}" for item in case.targets.values]


def test_users_who_were_not_ranked_have_no_rows(tmp_path: Path) -> None:
    case = Case(2)
    frame = case.frame(tmp_path, slice(0, 3))
    assert frame["user"].unique().sort().to_list() == [f"user{user:02}" for user in case.users[:3]]


def test_a_user_is_ranked_once(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ranked once"):
        Case(3).frame(tmp_path, slice(0, 2), slice(1, 3))


def test_what_is_held_does_not_grow_with_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "HELD", 1_000)
    collected, most = TargetRanks(tmp_path), 0
    lists = torch.arange(5).expand(1, 4, 5)
    for batch in range(100):
        collected.update(lists, torch.arange(4) + 4 * batch, torch.tensor([[3, 7]] * 4))
        most = max(most, sum(frame.estimated_size() for frame in collected._spool._held))
    collected.close()
    assert most < 1_000
    frames = list(spool.in_order(tmp_path, 400))
    assert max(frame.estimated_size() for frame in frames) < 2_000
    together = pl.concat(frames)
    assert together["user"].to_list() == np.arange(400).repeat(2).tolist()
    assert together["0"].to_list() == [4, 0] * 400


def test_a_test_leaves_its_ranks() -> None:
    data = SequenceData(InMemory(Synthetic(users=150, items=140).load(Path())), rank_batch_size=7)
    module = ItemKNN()
    trainer = quiet_trainer()
    trainer.test(module, data, verbose=False)
    names = [name for name in module.results["all"] if name != "users"]
    assert not module._ranks.folder.exists(), "nothing is left of the parts"
    assert module.results["all"]["users"] == module.ranks.collect()["user"].n_unique() > 7
    for setting, values in ranks.means(module.ranks.collect(), names).items():
        assert module.results[setting] == pytest.approx(values, abs=1e-12, nan_ok=True), setting


def test_processes_that_see_no_common_folder_are_told(tmp_path: Path) -> None:
    case = Case(4)
    strategy = SimpleNamespace(
        broadcast=lambda value: value, barrier=lambda name: None, reduce_boolean_decision=lambda decision, **_: decision
    )
    trainer = SimpleNamespace(
        is_global_zero=True, global_rank=0, world_size=2, strategy=strategy, default_root_dir=tmp_path / "runs"
    )
    collected = CollectedRanks(trainer)
    case.rank(collected, slice(None))  # type: ignore[arg-type]
    with pytest.raises(GenrecError, match="runs` is not the same folder for all processes"):
        collected.merged(case.metrics, case.dataset)

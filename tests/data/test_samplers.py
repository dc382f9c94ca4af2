from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.cutting import Geometry, Leg
from genrec.data.samplers import BalancedByLength, Draw, LongestFirst, Share

GEOMETRIES = st.builds(Geometry, st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(0, 1))
SAMPLES = st.lists(st.integers(1, 30), min_size=1, max_size=300).map(np.array)


@dataclass
class Sizes:
    """Samples of which nothing but the sizes is known."""

    lengths: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def sizes(self, rows: np.ndarray, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
        return self.lengths[rows], self.targets[rows]


def draws(targets: np.ndarray, geometry: Geometry, epoch: int = 0) -> list[list[Draw]]:
    """What every process draws."""
    found = []
    for rank in range(geometry.world):
        sampler = BalancedByLength(Sizes(targets, targets), geometry, rank)
        sampler.set_epoch(epoch)
        found.append(list(sampler))
        assert len(found[-1]) == len(sampler)
    return found


@given(SAMPLES, GEOMETRIES)
def test_every_sample_is_learned_once_by_all_processes_together(targets: np.ndarray, geometry: Geometry) -> None:
    shares = draws(targets, geometry)
    learned = [row for share in shares for draw in share if draw.examples for row in draw.rows.tolist()]
    assert sorted(learned) == list(range(len(targets)))
    for of_all in zip(*shares, strict=True):
        assert all(len(draw.rows) for draw in of_all)
        sizes = [len(draw.rows) if draw.examples else 0 for draw in of_all]
        assert max(sizes) - min(sizes) <= 1


@given(SAMPLES, GEOMETRIES)
def test_a_draw_knows_its_targets_and_those_of_its_step(targets: np.ndarray, geometry: Geometry) -> None:
    shares = draws(targets, geometry)
    for start in range(0, len(shares[0]), geometry.accumulation):
        step = [draw for share in shares for draw in share[start : start + geometry.accumulation]]
        assert {draw.step_examples for draw in step} == {sum(draw.examples for draw in step)}
        for draw in step:
            assert draw.examples in (0, targets[draw.rows].sum())


@given(SAMPLES, GEOMETRIES)
def test_steps_are_whole_where_there_are_samples_enough(targets: np.ndarray, geometry: Geometry) -> None:
    batches = len(draws(targets, geometry)[0])
    steps = -(-len(targets) // (geometry.batch_size * geometry.world * geometry.accumulation))
    assert batches == min(steps * geometry.accumulation, len(targets))


@given(SAMPLES, st.integers(1, 9), st.integers(2, 5))
def test_several_processes_train_as_one_with_larger_batches(targets: np.ndarray, batch_size: int, world: int) -> None:
    (alone,), shares = draws(targets, Geometry(batch_size * world)), draws(targets, Geometry(batch_size, world))
    assert {len(share) for share in shares} == {len(alone)}
    # A batch of fewer samples than processes takes some from the others.
    if min(len(draw.rows) for draw in alone) >= world:
        for whole, *parts in zip(alone, *shares, strict=True):
            assert sorted(np.concatenate([draw.rows for draw in parts]).tolist()) == sorted(whole.rows.tolist())


@given(SAMPLES, st.lists(st.tuples(GEOMETRIES, st.integers(0, 20)), max_size=3), GEOMETRIES)
def test_an_epoch_in_legs_of_any_geometry_is_every_sample_once(
    targets: np.ndarray, legs: list[tuple[Geometry, int]], last: Geometry
) -> None:
    learned: list[int] = []
    done: list[Leg] = []
    for geometry, batches in [*legs, (last, len(targets))]:
        steps: dict[int, list[Draw]] = {}
        for rank in range(geometry.world):
            sampler = BalancedByLength(Sizes(targets, targets), geometry, rank)
            first = sampler.resume(7, done)
            drawn = list(sampler)
            assert first + len(drawn) == len(sampler), "an epoch that goes on ends where a whole one does"
            for place, draw in enumerate(drawn, first):
                steps.setdefault(place // geometry.accumulation, []).append(draw)
            learned += [row for draw in drawn[:batches] if draw.examples for row in draw.rows.tolist()]
            assert len(list(sampler)) == len(sampler), "the next epoch is whole"
        for step in steps.values():
            assert {draw.step_examples for draw in step} == {sum(draw.examples for draw in step)}
        if done and done[-1].geometry == geometry:
            batches += done.pop().batches
        done.append(Leg(geometry, batches))
    assert sorted(learned) == list(range(len(targets)))


def test_batches_hold_equally_many_targets_however_long_the_samples_are() -> None:
    targets = np.clip(np.random.default_rng(0).geometric(1 / 7, 15_000), 1, 50)
    (found,) = draws(targets, Geometry(17))
    sizes = np.array([draw.examples for draw in found])
    assert abs(sizes.mean() / (17 * targets.mean()) - 1) < 0.01
    assert sizes.std() / sizes.mean() < 0.07
    users = [len(draw.rows) for draw in found]
    assert min(users) < 4 < 50 < max(users), "many short ones or a few long ones"
    # No batch is small because it is the last one.
    (found,) = draws(np.ones(1025, int), Geometry(128))
    assert sorted(draw.examples for draw in found) == [113] * 1 + [114] * 8


@given(st.integers(1, 300), st.integers(1, 9), st.integers(1, 5))
def test_ranking_shares_are_every_sample_once(samples: int, batch_size: int, world: int) -> None:
    lengths = np.arange(samples) % 7
    rows, sizes = [], set()
    for rank in range(world):
        sampler = LongestFirst(Sizes(lengths, lengths), batch_size, Share(rank, world))
        batches = list(sampler)
        assert len(batches) == len(sampler)
        sizes.add(len(batches))
        assert all(len(draw.rows) for draw in batches)
        mine = np.concatenate([draw.rows[: draw.examples] for draw in batches] or [np.empty(0, int)])
        assert (np.diff(lengths[mine]) <= 0).all()
        rows += mine.tolist()
    assert len(sizes) == 1, "no process waits for another"
    assert sorted(rows) == list(range(samples))


@pytest.mark.parametrize("limit", [3, 0.31, 1.0, 50])
@pytest.mark.parametrize("world", [1, 2])
def test_the_first_batches_of_a_limited_look_are_a_random_sample(limit: float, world: int) -> None:
    lengths = np.arange(1000)
    ways = [
        list(LongestFirst(Sizes(lengths, lengths), 100 // world, Share(rank, world), limit, seed=0))
        for rank in range(world)
    ]
    first = np.concatenate([draw.rows for way in ways for draw in way[: 3 if limit in (3, 0.31) else 10]])
    everything = [row for way in ways for draw in way for row in draw.rows]
    assert sorted(everything) == list(range(1000))
    assert len(first) == (300 if limit in (3, 0.31) else 1000)
    assert abs(lengths[first].mean() - lengths.mean()) < 50, "the longest alone have a mean of 850"
    assert all((np.diff(np.concatenate([draw.rows for draw in way[:3]])) < 0).all() for way in ways), "longest first"


def test_the_epoch_alone_decides_the_order() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 1000)

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [draw.rows.tolist() for draw in draws(lengths, Geometry(10, seed=seed), epoch)[0]]

    first, second = order(3, 0), order(3, 1)
    assert order(3, 0) == first
    assert order(3, 1) == second
    assert sorted(map(sorted, second)) != sorted(map(sorted, first))  # other batches, not only another order of them
    assert order(4, 1) != second


def test_little_of_a_batch_is_padding() -> None:
    lengths = np.random.default_rng(0).geometric(0.15, 20_000)

    def filled(batches: list[np.ndarray]) -> float:
        return lengths.sum() / sum(len(batch) * lengths[batch].max() for batch in batches)

    one_by_one = list(BalancedByLength(Sizes(lengths, np.ones_like(lengths)), Geometry(128)))
    assert filled([draw.rows for draw in one_by_one]) > 0.9
    assert filled([draw.rows for draw in draws(lengths, Geometry(128))[0]]) > 0.9
    assert filled(np.array_split(np.arange(20_000), 157)) < 0.3  # what batches at random would waste


def test_batches_do_not_come_in_the_order_of_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 6400)
    longest = np.array([lengths[draw.rows].max() for draw in draws(lengths, Geometry(100))[0]])
    assert (np.diff(longest) < 0).sum() > 10


class Endless:
    """A thousand million samples, of which nobody may ask for more than a few."""

    def __init__(self) -> None:
        self.asked = 0

    def __len__(self) -> int:
        return 10**9

    def sizes(self, rows: np.ndarray, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
        self.asked += len(rows)
        return rows % 50, np.ones_like(rows)


def test_an_epoch_begins_and_goes_on_at_once_however_many_samples_there_are() -> None:
    samples, geometry = Endless(), Geometry(256, accumulation=2)
    sampler = BalancedByLength(samples, geometry)
    assert len(sampler) == 3_906_250
    whole = [draw.rows.tolist() for draw in islice(sampler, 200)]
    sampler.set_epoch(1)
    assert next(iter(sampler)).rows.tolist() != whole[0]
    assert sampler.resume(0, [Leg(geometry, 150)]) == 150
    assert [draw.rows.tolist() for draw in islice(sampler, 50)] == whole[150:]
    assert sampler.resume(0, [Leg(geometry, 3_906_249)]) == 3_906_249
    assert len(list(sampler)) == 1
    other = BalancedByLength(samples, Geometry(100, world=3), rank=2)
    assert other.resume(0, [Leg(geometry, 2_000_001), Leg(Geometry(7), 12_345)]) > 1_700_000
    again = next(iter(other)).rows
    assert not set(again.tolist()) & {row for rows in whole for row in rows}
    assert samples.asked < 20 * 64 * 256

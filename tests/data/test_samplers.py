from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.samplers import LongestFirst, Share, ShuffledByLength

SIZES = st.tuples(st.integers(1, 300), st.integers(1, 9), st.integers(1, 5))


@given(SIZES)
def test_several_processes_train_as_one_with_larger_batches(sizes: tuple[int, int, int]) -> None:
    samples, batch_size, world = sizes
    lengths = np.arange(samples) % 7
    shares = [list(ShuffledByLength(lengths, batch_size, 0, Share(rank, world))) for rank in range(world)]
    alone = list(ShuffledByLength(lengths, batch_size * world, 0))
    assert len(ShuffledByLength(lengths, batch_size, 0, Share(0, world))) == len(alone)
    for whole, *parts in zip(alone, *shares, strict=True):
        together = sorted(np.concatenate(parts).tolist())
        if len(whole) >= world:
            assert together == sorted(whole.tolist())
        else:
            assert set(together) == set(whole.tolist())
        assert 1 <= min(map(len, parts)) <= max(map(len, parts)) <= batch_size
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert sorted(row for batch in alone for row in batch) == list(range(samples))


@given(SIZES)
def test_ranking_shares_are_every_sample_once(sizes: tuple[int, int, int]) -> None:
    samples, batch_size, world = sizes
    lengths = np.arange(samples) % 7
    rows = []
    for rank in range(world):
        sampler = LongestFirst(lengths, batch_size, Share(rank, world))
        batches = list(sampler)
        assert len(batches) == len(sampler)
        mine = np.concatenate([*batches, np.empty(0, int)]).astype(int)
        assert (np.diff(lengths[mine]) <= 0).all()
        rows += mine.tolist()
    assert sorted(rows) == list(range(samples))


def test_the_epoch_alone_decides_the_order() -> None:
    lengths = np.random.default_rng(0).integers(0, 50, 1000)
    sampler = ShuffledByLength(lengths, 10, seed=3)
    first = [batch.tolist() for batch in sampler]
    assert [batch.tolist() for batch in sampler] == first
    sampler.set_epoch(1)
    second = [batch.tolist() for batch in sampler]
    assert sorted(map(sorted, second)) != sorted(map(sorted, first))  # other batches, not only another order of them
    resumed = ShuffledByLength(lengths, 10, seed=3)
    resumed.set_epoch(1)
    assert [batch.tolist() for batch in resumed] == second
    other = ShuffledByLength(lengths, 10, seed=4)
    assert [batch.tolist() for batch in other] != first


def test_little_of_a_batch_is_padding() -> None:
    lengths = np.random.default_rng(0).geometric(0.15, 20_000)

    def filled(batches: list[np.ndarray]) -> float:
        return lengths.sum() / sum(len(batch) * lengths[batch].max() for batch in batches)

    assert filled(list(ShuffledByLength(lengths, 128, 0))) > 0.9
    assert filled(np.array_split(np.arange(20_000), 157)) < 0.3  # what batches at random would waste


def test_batches_do_not_come_in_the_order_of_length() -> None:
    lengths = np.random.default_rng(0).integers(0, 50, 6400)
    longest = np.array([lengths[batch].max() for batch in ShuffledByLength(lengths, 100, 0)])
    assert (np.diff(longest) < 0).sum() > 10

"""Tasks: what each asks and wants to hear, written out by hand; how often, in which order, and what is refused."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrec.data import Catalog, Dataset, InMemory, Ragged, SequenceData, Task
from genrec.data.cutting import Geometry, Leg
from genrec.data.mixture import Mixture
from genrec.data.samplers import BalancedByLength, Draw
from genrec.errors import GenrecError
from genrec.recommenders.packing import one_by_one
from genrec.types import PAD, Batch

Sample = tuple[str, list[int], str, int, str | None]
"""What stands before the items, the items, what stands behind them, the item that is asked for, and the answer."""


@pytest.fixture
def shop() -> Dataset:
    """Three items of training and a cold one; not all have a title, a brand or a description."""
    items = pl.DataFrame(
        {
            "item": ["a", "b", "c", "d"],
            "title": ["Red  Train", "Blue Boat", None, "Cold One"],
            "brand": ["Acme", None, "Acme", "Acme"],
            "description": [None, "It\nswims.", None, "It came later."],
            "categories": [["Toys", "Trains"], ["Toys"], ["Toys"], ["Toys"]],
        }
    )
    once = Ragged.from_lists([[3], [3]])
    return Dataset("shop", Catalog(items), ["u", "v"], Ragged.from_lists([[0, 1, 2], [1, 0]]), once, once)


TASKS: dict[str, tuple[Task, list[Sample]]] = {
    "next item by identifiers": (
        Task(["After <history>, what?"]),
        [
            ("After", [], ", what?", 0, None),
            ("After", [0], ", what?", 1, None),
            ("After", [0, 1], ", what?", 2, None),
            ("After", [], ", what?", 1, None),
            ("After", [1], ", what?", 0, None),
        ],
    ),
    "next title": (
        Task(["<history> Its title?"], "It is <title>."),
        [
            ("", [], "Its title?", 0, "It is Red Train."),
            ("", [0], "Its title?", 1, "It is Blue Boat."),
            ("", [0, 1], "Its title?", 2, "It is Acme, Toys."),
            ("", [], "Its title?", 1, "It is Blue Boat."),
            ("", [1], "Its title?", 0, "It is Red Train."),
        ],
    ),
    "next item by titles": (
        Task(["Took <titles>. Then?"]),
        [
            ("Took . Then?", [], "", 0, None),
            ('Took "Red Train". Then?', [], "", 1, None),
            ('Took "Red Train", "Blue Boat". Then?', [], "", 2, None),
            ("Took . Then?", [], "", 1, None),
            ('Took "Blue Boat". Then?', [], "", 0, None),
        ],
    ),
    "next item by both, and a wish": (
        Task(["<titles> are <history>; now <categories>"]),
        [
            ("are", [], "; now Toys, Trains", 0, None),
            ('"Red Train" are', [0], "; now Toys", 1, None),
            ('"Red Train", "Blue Boat" are', [0, 1], "; now Toys", 2, None),
            ("are", [], "; now Toys", 1, None),
            ('"Blue Boat" are', [1], "; now Toys, Trains", 0, None),
        ],
    ),
    "title of an item": (
        Task(["What is <item>?"], "<title>"),
        [
            ("What is", [0], "?", 0, "Red Train"),
            ("What is", [1], "?", 1, "Blue Boat"),
            ("What is", [2], "?", 2, "Acme, Toys"),
        ],
    ),
    "item of a title": (
        Task(['Who is "<title>"?']),
        [
            ('Who is "Red Train"?', [], "", 0, None),
            ('Who is "Blue Boat"?', [], "", 1, None),
            ('Who is "Acme, Toys"?', [], "", 2, None),
        ],
    ),
    "item of a description": (Task(["<title>: <description>"]), [("Blue Boat: It swims.", [], "", 1, None)]),
    "description of an item": (Task(["<item>"], "<description>"), [("", [1], "", 1, "It swims.")]),
    "item of a brand": (Task(["<brand>?"]), [("Acme?", [], "", 0, None), ("Acme?", [], "", 2, None)]),
    "what nobody can ask": (Task(["<tags>?"]), []),
}


def samples_of(batch: Batch) -> list[Sample]:
    """Every sample of a batch by itself."""
    assert batch.wording is not None
    before, after, answers, _ = batch.wording
    rows, history, target = list(range(len(before))), batch.history, batch.target
    if batch.prefixes is not None:
        rows = batch.prefixes.users.tolist()
        history, target = one_by_one(batch, batch.prefixes)
    assert len(rows) == len(after) == len(answers)
    return [
        (before[row], [item for item in items if item != PAD], after[place], wanted, answers[place])
        for place, (row, items, wanted) in enumerate(zip(rows, history.tolist(), target.tolist(), strict=True))
    ]


def mixture_of(dataset: Dataset, tasks: dict[str, Task], **options: Any) -> Mixture:
    samples = SequenceData(InMemory(dataset), tasks=tasks, **options).train_dataloader().dataset
    assert isinstance(samples, Mixture)
    return samples


@pytest.mark.parametrize("kind", ["prefixes", "windows"])
@pytest.mark.parametrize("order", [1, -1])
def test_every_task_asks_what_is_written_here(shop: Dataset, kind: str, order: int) -> None:
    """All of them together: those that are answered with items come first, and nothing comes twice."""
    tasks = {name: task for name, (task, _) in list(TASKS.items())[::order]}
    mixture = mixture_of(shop, tasks, samples=kind)
    batch = mixture[Draw(np.arange(len(mixture)))]
    found = samples_of(batch)
    expected = [sample for _, samples in TASKS.values() for sample in samples]
    assert Counter(map(str, found)) == Counter(map(str, expected))
    answers = [answer is None for *_, answer in found]
    assert answers == sorted(answers, reverse=True)
    lengths, learned = mixture.sizes(np.arange(len(mixture)))
    assert learned.sum() == len(expected)
    assert (lengths >= 0).all()


def test_a_long_prompt_is_known_to_be_long(shop: Dataset) -> None:
    """Samples of about the same length share a batch: texts count by their letters."""
    mixture = mixture_of(shop, {"next": TASKS["next item by identifiers"][0], "titles": Task(["<titles>"])})
    rows = np.arange(len(mixture))
    lengths = dict(
        zip((str(sample[:2]) for sample in samples_of(mixture[Draw(rows)])), mixture.sizes(rows)[0], strict=True)
    )
    assert lengths["('After', [0, 1])"] == 10
    assert lengths["""('"Red Train", "Blue Boat"', [])"""] == (9 + 1 + 9) // 4


@pytest.fixture(scope="module")
def many() -> Dataset:
    rng = np.random.default_rng(0)
    lists = [rng.integers(0, 60, rng.integers(1, 9)).tolist() for _ in range(200)]
    items = pl.DataFrame({"item": [str(row) for row in range(60)], "title": [f"thing {row}" for row in range(60)]})
    once = Ragged.from_lists([[0]] * 200)
    return Dataset("many", Catalog(items), list(map(str, range(200))), Ragged.from_lists(lists), once, once)


MIXED = {
    "next": Task(["A <history> A?", "B <history> B?", "C <history> C?"]),
    "rare": Task(["R <titles>"], weight=0.25),
    "often": Task(["T <item>?"], "<title>", weight=3),
    "never": Task(["N <item>?"], "<title>", weight=0),
}


def letters(batch: Batch) -> Counter[str]:
    """How often each prompt asks, by its first letter."""
    return Counter(before[0] for before, *_ in samples_of(batch))


def test_tasks_come_as_often_as_their_weights_say(many: Dataset) -> None:
    mixture = mixture_of(many, MIXED)
    places, warm = len(many.train.values), int(many.warm.sum())
    rows = np.arange(len(mixture))
    assert len(mixture) == places + round(places / 4) + 3 * warm
    rare: Counter[str] = Counter()
    for epoch in range(4):
        batch = mixture[Draw(rows, epoch=epoch)]
        counts = letters(batch)
        assert counts["R"] == round(places / 4)
        assert counts["T"] == 3 * warm
        assert counts["A"] + counts["B"] + counts["C"] == places
        # Each of the prompts as often as the others, but for chance: five standard deviations.
        assert all(abs(counts[letter] - places / 3) < 5 * (places * 2 / 9) ** 0.5 for letter in "ABC")
        of_items = Counter(items[0] for before, items, *_ in samples_of(batch) if before == "T")
        assert set(of_items.values()) == {3}
        rare.update(str(sample) for sample in samples_of(batch) if sample[0].startswith("R"))
    everything = mixture_of(many, {**MIXED, "rare": Task(["R <titles>"])})
    all_rare = Counter(str(s) for s in samples_of(everything[Draw(np.arange(len(everything)))]) if s[0][0] == "R")
    missing = (all_rare - rare).total() + (rare - all_rare).total()
    assert missing <= 2, "a quarter of an epoch, another one in each of four; their number is rounded"


def test_an_epoch_is_mixed_through_and_through(many: Dataset) -> None:
    mixture = mixture_of(many, MIXED)
    draws = list(BalancedByLength(mixture, Geometry(16)))
    half: Counter[str] = sum((letters(mixture[draw]) for draw in draws[: len(draws) // 2]), Counter())
    whole = letters(mixture[Draw(np.arange(len(mixture)))])
    for letter, count in whole.items():
        assert abs(half[letter] - count / 2) < 5 * (count / 4) ** 0.5 + 3, letter


def test_every_epoch_asks_otherwise_and_every_run_the_same(many: Dataset) -> None:
    first, again = mixture_of(many, MIXED), mixture_of(many, MIXED)
    draw, later = Draw(np.arange(40)), Draw(np.arange(40), epoch=1)
    other = mixture_of(many, dict(reversed(MIXED.items())))
    assert samples_of(first[draw]) == samples_of(other[draw]), "whatever the order in the config"
    assert samples_of(first[draw]) == samples_of(again[draw]) == samples_of(pickle.loads(pickle.dumps(first))[draw])
    assert samples_of(first[draw]) != samples_of(first[later])
    assert samples_of(first[draw]) != samples_of(mixture_of(many, MIXED, seed=1)[draw])


@pytest.mark.parametrize("kind", ["prefixes", "windows"])
def test_an_epoch_goes_on_with_the_examples_that_were_next(many: Dataset, kind: str) -> None:
    mixture = mixture_of(many, MIXED, samples=kind)
    geometry = Geometry(16, world=2, accumulation=2, seed=3)

    def batches(rank: int, epoch: int, done: int = 0) -> list[list[Sample]]:
        sampler = BalancedByLength(mixture, geometry, rank)
        sampler.set_epoch(epoch)
        if done:
            sampler.resume(epoch, [Leg(geometry, done)])
        return [samples_of(mixture[draw]) for draw in sampler]

    for rank in range(2):
        assert batches(rank, 2, done=6) == batches(rank, 2)[6:]
    whole = Counter(str(sample) for rank in range(2) for batch in batches(rank, 2) for sample in batch)
    rows = np.arange(len(mixture))
    assert whole == Counter(map(str, samples_of(mixture[Draw(rows, epoch=2)]))), "every sample once, in one of both"
    # Under another geometry, what is left: nothing twice, nothing never.
    sampler = BalancedByLength(mixture, Geometry(8, seed=3))
    sampler.resume(2, [Leg(geometry, 6)])
    left = Counter(str(sample) for draw in sampler for sample in samples_of(mixture[draw]))
    done = Counter(str(sample) for rank in range(2) for batch in batches(rank, 2)[:6] for sample in batch)
    assert left + done == whole


def test_what_a_step_counts_is_what_its_batches_hold(many: Dataset) -> None:
    loader = SequenceData(InMemory(many), tasks=MIXED, samples="windows", batch_size=32).train_dataloader()
    for batch in loader:
        assert len(samples_of(batch)) == batch.examples == batch.step_examples


def test_how_many_samples_there_are_is_said_once(shop: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    data = SequenceData(InMemory(shop), tasks={"next": Task(["<history>"], weight=0.4), "tags": Task(["<tags>"])})
    data.train_dataloader()
    data.train_dataloader()
    assert capsys.readouterr().err == "shop: 2 samples an epoch: next 2 of 5, tags 0 of 0\n"


REFUSED = {
    "`data.tasks.asked.prompts` is a list of one prompt or more, not []": Task([]),
    "`data.tasks.asked.prompts` is a list of one prompt or more, not '<history>'": Task("<history>"),
    "`data.tasks.asked.weight` is -1: give a number from 0 to 1000": Task(["<history>"], weight=-1),
    "`data.tasks.asked.weight` is nan: give a number from 0 to 1000": Task(["<history>"], weight=float("nan")),
    "`data.tasks.asked` has <price> in 'A <price>': there are <history>": Task(["<history>", "A <price>"]),
    "has identifiers in 2 places of '<history> <item>': leave one": Task(["<history> <item>"], "<title>"),
    "has the answer <item> in 'Who is <item>' already: ask otherwise": Task(["Who is <item>"]),
    "is <item> alone, or a text with texts of the item in it, not 'yes'": Task(["<history>"], "yes"),
    "has <query> beside what users took: a query asks for an item by itself": Task(["<history> <query>"]),
    "with texts of the item in it, not 'It is <item>.'": Task(["<history>"], "It is <item>."),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_asked_is_refused(words: str, shop: Dataset) -> None:
    with pytest.raises(GenrecError, match=re.escape(words)):
        SequenceData(InMemory(shop), tasks={"next": Task(["<history>"]), "asked": REFUSED[words]})


def test_tasks_that_do_not_fit_the_data_are_refused(shop: Dataset) -> None:
    next_item = Task(["<history>"])
    with pytest.raises(GenrecError, match="nothing would be learned to recommend with"):
        SequenceData(
            InMemory(shop), tasks={"titles": Task(["<item>"], "<title>"), "off": Task(["<history>"], weight=0)}
        )
    with pytest.raises(GenrecError, match=r"`data\.samples: users` do not go together"):
        SequenceData(InMemory(shop), tasks={"next": next_item}, samples="users")
    asks = {"next": next_item, "told": Task(["<history>"], "<description>")}
    with pytest.raises(GenrecError, match=r"`data.tasks.told` .* 2 of the 3 items of training lack .*\(description\)"):
        SequenceData(InMemory(shop), tasks=asks).train_dataloader()


QUERIED = {
    "next": Task(["<history>"]),
    "asked": Task(['Who is meant by "<query>"?', '"<query>" by <brand>?']),
    "said": Task(["Who wants <item> says?"], "<query>!"),
}


@pytest.mark.parametrize("kind", ["prefixes", "windows"])
def test_queries_of_items_ask_for_them(
    shop: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """Each by itself, and only where the item was there in training and has what else is asked with."""
    (tmp_path / "asked.csv").write_text(
        "query,item\n a  toy on rails,a\nsomething red,a\nfloats,b\nthe newest,d\nmade by Acme,c\n"
    )
    mixture = mixture_of(shop, QUERIED, queries="asked.csv", root=str(tmp_path), samples=kind)
    assert capsys.readouterr().err == (
        "asked.csv: queries of items that training lacks, which are not asked: 1\n"
        f"shop: {5 + 3 + 4 if kind == 'prefixes' else 2 + 3 + 4} samples an epoch: "
        f"next {'5 of 5' if kind == 'prefixes' else '2 of 2'}, asked 3 of 3, said 4 of 4\n"
    )
    found = [s for s in samples_of(mixture[Draw(np.arange(len(mixture)))]) if s[0] or s[4]]
    asked = [(before, row) for before, _, _, row, answer in found if answer is None]
    said = [(*items, after, answer) for _, items, after, _, answer in found if answer is not None]
    texts = [("a toy on rails", 0), ("something red", 0), ("made by Acme", 2)]
    assert len(asked) == 3
    assert all(
        (f'Who is meant by "{text}"?', row) in asked or (f'"{text}" by Acme?', row) in asked for text, row in texts
    )
    assert Counter(said) == Counter((row, "says?", f"{text}!") for text, row in [*texts, ("floats", 1)])


def test_queries_of_users_ask_for_all_that_they_took(shop: Dataset, tmp_path: Path) -> None:
    pl.DataFrame({"user": ["v", "u"], "query": ["boats, then trains", "toys"]}).write_parquet(
        tmp_path / "asked.parquet"
    )
    tasks = {"next": Task(["<history>"]), "asked": Task(["<query>?"])}
    mixture = mixture_of(shop, tasks, queries="asked.parquet", root=str(tmp_path))
    rows = np.arange(len(mixture))
    lengths = mixture.sizes(rows)[0].tolist()
    found = [(s[0], s[3], length) for s, length in zip(samples_of(mixture[Draw(rows)]), lengths, strict=True) if s[0]]
    assert sorted(found) == [
        *(("boats, then trains?", item, 18 // 4) for item in (0, 1)),
        *(("toys?", item, 4 // 4) for item in (0, 1, 2)),
    ]


WRONG_QUERIES = {
    "row 2: there is no item `x` in shop, nor are those of 1 other": "item,query\na,b\nx,c\nb,d\ny,e\n",
    "asked.csv, row 1: there is no user `w` in shop": "user,query\nw,c\n",
    "asked.csv, row 2: no value in column `query`": "item,query\na,b\nb,\n",
    "asked.csv` has no column `query`": "item,text\na,b\n",
    "asked.csv` has no column `item`": "key,query\na,b\n",
}


@pytest.mark.parametrize("words", WRONG_QUERIES)
def test_queries_that_are_of_nobody_are_refused(words: str, shop: Dataset, tmp_path: Path) -> None:
    (tmp_path / "asked.csv").write_text(WRONG_QUERIES[words])
    data = SequenceData(InMemory(shop), root=str(tmp_path), tasks=QUERIED, queries="asked.csv")
    data.setup("test")
    with pytest.raises(GenrecError, match=re.escape(words)):
        data.setup("fit")


def test_queries_and_who_asks_with_them_go_together(shop: Dataset) -> None:
    with pytest.raises(GenrecError, match=r"`data.tasks.asked` has <query>: name the file of them in `data.queries`"):
        SequenceData(InMemory(shop), tasks=QUERIED)
    with pytest.raises(GenrecError, match=r"none of `data.tasks` has <query>: leave `data.queries` out"):
        SequenceData(InMemory(shop), tasks={"next": QUERIED["next"]}, queries="asked.csv")
    off = {name: Task(task.prompts, task.answer, weight=float(name == "next")) for name, task in QUERIED.items()}
    SequenceData(InMemory(shop), tasks=off, queries="nowhere.csv").setup("fit")

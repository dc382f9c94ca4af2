"""Which runs are one row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genrec.analysis.report.rows import by_data, names, rows, with_published
from genrec.analysis.report.variants import describe, differences, find_key
from genrec.config.settings import flat, show
from genrec.errors import GenrecError
from genrec.runs.results import Run


def config(alpha: float = 0.7, n: int = 4, seed: int = 0, root: str = "data") -> dict[str, object]:
    identifier = {"class_path": "genrec.identifiers.SETRec", "init_args": {"alpha": alpha, "n_semantic": n}}
    return {
        "seed_everything": seed,
        "model": {"class_path": "genrec.recommenders.recommender.Recommender", "init_args": {"identifier": identifier}},
        "data": {"root": root, "source": {"init_args": {"seed": seed}}},
        "trainer": {"default_root_dir": f"runs/{seed}"},
    }


def run(
    method: str = "SETRec",
    ndcg: float = 0.5,
    seed: int = 0,
    settings: dict[str, object] | None = None,
    backbone: str | None = "new T5, d_model 128",
    folder: str = "runs/x/1",
) -> Run:
    results = {
        "dataset": "toys",
        "method": method,
        "backbone": backbone,
        "seed": seed,
        "split": "test",
        "users": 9,
        "items": 5,
        "settings": {"all": {"ndcg@10": ndcg, "users": 9}, "cold": {"ndcg@10": float("nan"), "users": 0}},
        "seconds": {"rank": 2.0 * ndcg},
    }
    return Run(Path(folder), results, settings or {})


def labels(*runs: Run) -> list[str]:
    return [row.method for row in rows(runs)]


def test_seeds_of_one_config_are_one_row() -> None:
    runs = [run(ndcg=ndcg, seed=seed, settings=config(seed=seed)) for seed, ndcg in enumerate((0.25, 0.5, 1.0))]
    (row,) = rows([*runs[:1], run("TIGER"), *runs[1:]])[:1]
    assert row.method == "SETRec (3 seeds)"
    np.testing.assert_array_equal(row.values("all", "ndcg@10"), [0.25, 0.5, 1.0])
    assert row.seconds == pytest.approx(2 * (0.25 + 0.5 + 1.0) / 3)
    assert len(row.values("cold", "ndcg@10")) == 0
    assert len(row.values("nowhere", "ndcg@10")) == 0


def test_methods_and_language_models_are_rows_of_their_own() -> None:
    assert labels(run("TIGER", seed=1), run(seed=2), run(seed=3, backbone="Qwen2")) == ["TIGER", "SETRec", "SETRec"]


def test_configs_are_told_apart_by_what_differs() -> None:
    runs = [run(seed=seed, settings=config(alpha, seed=seed)) for alpha in (0.1, 0.7) for seed in (0, 1)]
    assert labels(*runs) == ["SETRec (alpha=0.1; 2 seeds)", "SETRec (alpha=0.7; 2 seeds)"]
    assert labels(runs[0], run(settings=config(n=1))) == [
        "SETRec (alpha=0.1, n_semantic=4)",
        "SETRec (alpha=0.7, n_semantic=1)",
    ]


def trained(seed: int, ndcg: float = 0.5, ranked: str = "32-true", **changed: object) -> Run:
    """A run of always the same config that says how it was computed."""
    made = run(ndcg=ndcg, seed=seed, settings=config(seed=seed))
    how = {"batch": 128, "processes": 1, "nodes": 1, "precision": "32-true", **changed}
    return Run(made.folder, {**made.results, "training": [how], "precision": ranked}, made.config)


@pytest.mark.parametrize(
    ("changed", "labels_"),
    [
        ({"batch": 512}, ("batch=128", "batch=512")),
        ({"processes": 4}, ("processes=1", "processes=4")),
        ({"processes": 4, "nodes": 2}, ("processes=1", "processes=4 on 2 nodes")),
        ({"precision": "bf16-mixed", "ranked": "bf16-mixed"}, ("precision=32-true", "precision=bf16-mixed")),
        ({"ranked": "16-mixed"}, ("precision=32-true", "precision=32-true, ranked in 16-mixed")),
    ],
)
def test_seeds_of_another_batch_world_or_precision_are_not_averaged(
    changed: dict[str, object], labels_: tuple[str, str]
) -> None:
    first, second = rows([trained(0, 0.25), trained(1, 0.75, **changed), trained(2, 0.5)])  # type: ignore[arg-type]
    assert (first.method, second.method) == (f"SETRec ({labels_[0]}; 2 seeds)", f"SETRec ({labels_[1]})")
    np.testing.assert_array_equal(first.values("all", "ndcg@10"), [0.25, 0.5])


def test_what_is_not_known_is_not_averaged_with_what_is() -> None:
    assert labels(run(settings=config()), trained(1)) == [
        "SETRec (batch=unknown, processes=unknown, precision=unknown)",
        "SETRec (batch=128, processes=1, precision=32-true)",
    ]


def test_a_training_that_was_resumed_with_another_batch_is_of_its_own() -> None:
    once, twice = trained(0), trained(1)
    parts = [*once.results["training"], {**once.results["training"][0], "batch": 64, "processes": 2}]
    assert labels(once, Run(twice.folder, {**twice.results, "training": parts}, twice.config)) == [
        "SETRec (batch=128, processes=1)",
        "SETRec (batch=128 then 64, processes=1 then 2)",
    ]


def test_places_do_not_make_a_difference() -> None:
    assert labels(run(settings=config(root="here")), run(seed=1, settings=config(seed=1, root="there"))) == [
        "SETRec (2 seeds)"
    ]


def test_the_same_seed_twice_is_no_repetition() -> None:
    runs = [run(folder=f"runs/toys_setrec/{stamp}", settings=config()) for stamp in ("monday", "tuesday")]
    assert labels(*runs) == ["SETRec (monday)", "SETRec (tuesday)"]
    # Other seeds than the first: a data set or a popularity list that draws at random.
    assert labels(runs[0], run(settings=config(seed=1))) == ["SETRec (2 seeds)"]


def test_a_run_without_a_config_is_known_by_its_seed() -> None:
    """A copy of a run, or one of its `metrics.json` alone, is no second training."""
    kept, copied = run(folder="runs/toys_setrec/kept", settings=config()), run(folder="runs/toys_setrec/copied")
    assert labels(kept, copied) == ["SETRec (kept)", "SETRec (copied)"]
    assert labels(kept, run(seed=1)) == ["SETRec (2 seeds)"]


def test_runs_without_a_config_are_not_told_apart_from_themselves() -> None:
    assert labels(run("Popularity", seed=0), run("Popularity", seed=1)) == ["Popularity (2 seeds)"]


def test_data_sets() -> None:
    runs = [run(), run("TIGER"), Run(Path("y"), {**run().results, "split": "validation"}, {})]
    assert by_data(runs) == [runs[:2], runs[2:]]
    assert names([runs[:2]]) == ["toys"]
    assert names(by_data(runs)) == ["toys_test_9_users_5_items", "toys_validation_9_users_5_items"]


def test_published_numbers_stand_below_the_last_row_of_their_method() -> None:
    ours = rows([run(settings=config(0.1)), run(settings=config(0.2)), run("TIGER"), run("Popularity", backbone=None)])
    with_paper = with_published(ours)
    assert [(row.method, row.published) for row in with_paper] == [
        ("SETRec (alpha=0.1)", False),
        ("SETRec (alpha=0.2)", False),
        ("SETRec (published)", True),
        ("TIGER", False),
        ("TIGER (published)", True),
        ("Popularity", False),
    ]
    assert with_paper[2].values("all", "ndcg@10").tolist() == [0.0118]


def test_keys_without_what_stands_between() -> None:
    assert flat({"a": {"init_args": {"b": {"c": 1}, "d": []}}, "e": None, "f": {}}) == {
        "a.b.c": 1,
        "a.d": [],
        "e": None,
        "f": {},
    }


def test_keys_of_one_name_are_written_out() -> None:
    both = [{"text": {"dim": 1}, "cf": {"dim": dim}, "seed": dim} for dim in (1, 2)]
    runs = [run(settings={**both[0], "cf": {"dim": 2}}), run(settings={**both[1], "text": {"dim": 3}})]
    assert differences(runs) == ["text.dim"]
    assert describe(runs[1], ["text.dim", "cf.dim"]) == "text.dim=3, cf.dim=2"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("torch.optim.AdamW", "AdamW"), (0.7, "0.7"), ([1, 2], "[1, 2]"), (None, "None"), ("a model/b.c", "a model/b.c")],
)
def test_values_as_they_are_shown(value: object, shown: str) -> None:
    assert show(value) == shown


def test_the_end_of_a_key_is_enough() -> None:
    runs = [run(settings={**config(), "lora": {"alpha": 8}})]
    assert find_key(runs, "n_semantic") == "model.identifier.n_semantic"
    assert find_key(runs, "model.init_args.identifier.init_args.alpha") == "model.identifier.alpha"
    with pytest.raises(GenrecError, match=r"lora.alpha, model.identifier.alpha"):
        find_key(runs, "alpha")
    with pytest.raises(GenrecError, match=r"key `semantic`; did you mean `n_semantic`"):
        find_key(runs, "semantic")

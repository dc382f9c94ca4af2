"""Train cornac's TIGER and RPG on a split that `against_cornac.py` wrote, and write down whom they recommend what.

    CORNAC/bin/python benchmarks/cornac_side.py FOLDER METHOD

It runs in an environment with cornac 3.0, where there is no genrec: cornac wants an older transformers.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from cornac.data import FeatureModality
from cornac.eval_methods import NextItemEvaluation
from cornac.models import RPG, TIGER

TOKENIZERS = {"tiger": "_tokenize", "rpg": "_opq_tokenize"}
"""What makes the codes."""


def rows(lists: list[list[int]], first: int = 0) -> list[tuple[str, str, str, int]]:
    """User, session, item and time of every event; a user is one session."""
    return [
        (f"user{user}", f"session{first + user}", f"item{item}", time)
        for user, items in enumerate(lists)
        for time, item in enumerate(items)
    ]


def timed(model: Any, name: str, seconds: list[float]) -> None:
    """Note how long a method of a model takes."""
    usual = getattr(model, name)

    def measured(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        found = usual(*arguments, **options)
        seconds.append(time.perf_counter() - start)
        return found

    setattr(model, name, measured)


def main() -> None:
    folder, method = Path(sys.argv[1]), sys.argv[2]
    split = json.loads((folder / "split.json").read_text())
    vectors = np.load(folder / "vectors.npy")
    settings = json.loads((folder / f"{method}.json").read_text())
    # A session that holds every item: all of the catalogue are candidates, though none is learned from it.
    everything = [list(range(len(vectors)))]
    evaluation = NextItemEvaluation.from_splits(
        train_data=rows(split["train"]),
        test_data=rows(everything, len(split["train"])),
        fmt="USIT",
        seed=settings["seed"],
        item_feature=FeatureModality(features=vectors, ids=[f"item{item}" for item in range(len(vectors))]),
    )
    model = {"tiger": TIGER, "rpg": RPG}[method](**settings)
    codes: list[float] = []
    timed(model, TOKENIZERS[method], codes)
    start = time.perf_counter()
    model.fit(evaluation.train_set)
    fitted = time.perf_counter() - start - sum(codes)
    assert model.total_items == len(vectors)

    place = model.iid_map
    item_of = np.array([int(key.removeprefix("item")) for key in sorted(place, key=place.__getitem__)])
    found = np.empty((len(split["histories"]), split["k"]), dtype=np.int64)
    start = time.perf_counter()
    for row, history in enumerate(split["histories"]):
        scores = model.score(0, [place[f"item{item}"] for item in history])
        found[row] = item_of[np.argsort(-scores, kind="stable")[: split["k"]]]
    ranked = time.perf_counter() - start
    np.save(folder / f"{method}.npy", found)
    parameters = sum(part.numel() for part in model.model.parameters())
    seconds = {"codes": sum(codes), "fit": fitted, "rank": ranked, "parameters": parameters}
    (folder / f"{method}_seconds.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    main()

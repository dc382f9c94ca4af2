"""The packaged searches in which every method has the same number of trials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genrec.config.files import PACKAGED, load_config

from .. import forks

SEARCHES = sorted((PACKAGED / "studies").glob("fair_*.yaml"))
LR = "model.init_args.optimizer.init_args.lr"
SMALL = [
    *("--config", "data/synthetic.yaml", "--data.source.init_args.users=150", "--data.source.init_args.items=140"),
    *("--assets.text=TfidfText", "--assets.cf.init_args.max_epochs=2", "--trainer.fast_dev_run=true"),
]
CODES = "--model.init_args.identifier.init_args.codes"
FEW_STEPS = [f"{CODES}.init_args.size=16", f"{CODES}.init_args.training.steps=20"]
QUICK = {
    "letter": [f"{CODES}=LETTERCodes", *FEW_STEPS],
    "rpg": [f"{CODES}=PQCodes", f"{CODES}.init_args.digits=8"],
    "tiger": FEW_STEPS,
}


def own_key(search: Path) -> tuple[str, list[object]]:
    """What is searched beside the learning rate."""
    ((key, values),) = ((key, values) for key, values in load_config(str(search))["space"].items() if key != LR)
    return key, values


@pytest.mark.slow
@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.stem)
def test_what_is_searched_can_be_trained(search: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not go together is told by the first batch alone."""
    monkeypatch.chdir(tmp_path)
    key, values = own_key(search)
    for value in values:
        method = search.stem.split("_")[2]
        more = [] if value == "RQKMeansCodes" else QUICK.get(method, [])
        given = value if isinstance(value, str) else json.dumps(value)
        forks.genrec("fit", "--config", load_config(str(search))["config"], *SMALL, f"--{key}={given}", *more)

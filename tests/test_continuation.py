"""A fit that is resumed ends where the same fit without a break ends, to the last bit."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from genrec.cli import main
from genrec.runs import BEST, CHECKPOINTS, LAST

QUICK = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.max_epochs=2"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a config whose fit keeps a copy of every `last.ckpt` in `kept/`."""
    monkeypatch.chdir(tmp_path)
    every = {"dirpath": "kept", "save_top_k": -1, "filename": "{step}", "auto_insert_metric_name": False}
    callback = {"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": every}
    for model in ("sasrec", "dreamrec"):
        config = {"compose": [f"synthetic_{model}.yaml"], "trainer": {"callbacks": [callback]}}
        config["data"] = {"source": {"init_args": {"users": 150, "items": 140}}}
        (tmp_path / f"{model}.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def fit(model: str, *more: str) -> dict[str, Any]:
    """The last checkpoint of a new run."""
    before = set(Path(f"runs/{model}").glob("*"))
    main(["fit", "--config", f"{model}.yaml", *QUICK, *more])
    (run,) = set(Path(f"runs/{model}").glob("*")) - before
    assert {path.name for path in (run / CHECKPOINTS).iterdir()} == {BEST, LAST}
    return dict(torch.load(run / CHECKPOINTS / LAST, weights_only=True))


@pytest.mark.parametrize(("model", "interval"), [("sasrec", 1.0), ("sasrec", 0.4), ("dreamrec", 0.5)])
def test_a_resumed_fit_is_the_same_fit(here: Path, model: str, interval: float) -> None:
    more = [f"--trainer.val_check_interval={interval}", "--data.batch_size=32"]
    whole = fit(model, *more)
    kept = sorted((here / "kept").iterdir(), key=lambda path: int(path.stem))
    assert len(kept) > 1 / interval
    for checkpoint in kept[:-1]:
        shutil.copy(checkpoint, "killed.ckpt")
        with warnings.catch_warnings(record=True) as said:
            resumed = fit(model, *more, "--ckpt_path=killed.ckpt")
        assert not [warning for warning in said if "resumable" in str(warning.message)]
        assert resumed["global_step"] == whole["global_step"] > torch.load(checkpoint, weights_only=True)["global_step"]
        for name, value in whole["state_dict"].items():
            torch.testing.assert_close(resumed["state_dict"][name], value, rtol=0, atol=0, equal_nan=True)


def test_other_seeds_are_other_fits(here: Path) -> None:
    """What the test above compares does depend on the random numbers."""
    first, second = (fit("sasrec", f"--seed_everything={seed}")["state_dict"] for seed in (1, 2))
    assert not all(torch.equal(first[name], second[name]) for name in first)

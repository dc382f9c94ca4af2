from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from genrec.config.settings import changes
from genrec.study.settings import full_config


def classes(config: Any) -> Iterator[str]:
    """The class of everything that a config builds."""
    if isinstance(config, dict):
        if "class_path" in config:
            yield config["class_path"]
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from classes(part)


@pytest.mark.parametrize("name", ["toys_setrec_small.yaml", "toys_idgenrec_small.yaml"])
def test_a_full_config_says_everything(name: str) -> None:
    """Two configs are the same if they mean the same, however deep: no class by its short name, no default left out."""
    config = full_config(["--config", name])
    assert [path for path in classes(config) if "." not in path] == []
    assert config["assets"]["cf"]["init_args"]["otherwise"]["init_args"]["patience"] == 20
    assert config["data"]["source"]["init_args"]["otherwise"]["init_args"]["category"] == "Toys_and_Games"


def test_changes_are_what_counts() -> None:
    old = {"trainer": {"max_epochs": 1, "enable_progress_bar": True}, "data": {"root": "a", "batch_size": 8}}
    new = {"trainer": {"max_epochs": 3, "enable_progress_bar": False}, "data": {"root": "b", "batch_size": 8}}
    assert changes(old, new) == ["trainer.max_epochs: 1 -> 3"]
    assert changes(old, {**old, "later": {"option": None}}) == []

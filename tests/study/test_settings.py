from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from genrec.config.settings import changes, flat
from genrec.errors import GenrecError
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


def test_the_optimiser_of_tigers_authors_takes_a_step() -> None:
    """What a config leaves out is the optimiser's own default, not what AdamW has under that name."""
    optimizer = full_config(["--config", "toys_tiger_official.yaml"])["model"]["init_args"]["optimizer"]
    module, _, kind = optimizer["class_path"].rpartition(".")
    weight = torch.nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.ones(2, 2)
    getattr(importlib.import_module(module), kind)([weight], **optimizer["init_args"]).step()
    assert (weight < 1).all()


def test_changes_are_what_counts() -> None:
    old = {"trainer": {"max_epochs": 1, "enable_progress_bar": True}, "data": {"root": "a", "batch_size": 8}}
    new = {"trainer": {"max_epochs": 3, "enable_progress_bar": False}, "data": {"root": "b", "batch_size": 8}}
    assert changes(old, new) == ["trainer.max_epochs: 1 -> 3"]
    assert changes(old, {**old, "later": {"option": None}}) == []


def without(config: dict[str, Any], *names: str) -> dict[str, Any]:
    """A config as a version wrote it that did not know these names."""
    inner = {key: without(value, *names) if isinstance(value, dict) else value for key, value in config.items()}
    return {key: value for key, value in inner.items() if key not in names}


CODES = "--model.init_args.identifier.init_args.codes"


def test_a_key_of_a_later_version_is_a_change_only_with_another_value_than_its_default() -> None:
    """Of a class, of a data class inside one, and a list of numbers; what is in no class that is named may be one."""
    of_old_days = ["--config", "toys_tiger_causal_small.yaml", CODES, "RQVAECodes"]
    new = full_config(of_old_days)
    old = without(new, "frozen_steps", "ks", "gradient", "new_rows")
    assert {key.rpartition(".")[2] for key in flat(new).keys() - flat(old).keys()} == {
        "frozen_steps", "ks", "gradient", "new_rows",
    }  # fmt: skip
    assert changes(old, new) == []
    told = ["--model.init_args.frozen_steps=5", f"{CODES}.init_args.training.gradient=rotation"]
    assert changes(old, full_config([*of_old_days, *told])) == [
        "model.identifier.codes.training.gradient: None -> rotation", "model.frozen_steps: None -> 5",
    ]  # fmt: skip
    assert changes({**new, "data": without(new["data"], "batch_size")}, new) == ["data.batch_size: None -> 17"]
    # What was left out as a whole is a change however it is given.
    for part, names in (
        ("backbone.init_args.lora", "alpha class_path dropout rank targets"),
        ("identifier.init_args.search", "beams exact length_penalty normalize"),
    ):
        given = full_config([*of_old_days, f"--model.init_args.{part}={{}}"])
        found = {change.partition(":")[0].rpartition(".")[2] for change in changes(new, given)}
        assert found == set(names.split()), part


@pytest.mark.parametrize("asking", ["--help", "--model.help", "--trainer.help=X"])
def test_who_asks_for_help_is_sent_to_fit(asking: str) -> None:
    with pytest.raises(GenrecError, match="asks for help and sets no key: give it to `genrec fit`"):
        full_config(["--config", "synthetic_setrec.yaml", asking])

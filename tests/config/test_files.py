from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from genrec.config.files import PACKAGED, find_config, load_config, merge
from genrec.errors import GenrecError

CONFIGS = sorted(path.name for path in PACKAGED.glob("*.yaml"))


def test_own_keys_win_over_parts_and_later_parts_over_earlier(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("a: {x: 1, y: 1}\nb: 1")
    (tmp_path / "two.yaml").write_text("a: {y: 2, z: 2}")
    (tmp_path / "mine.yaml").write_text("compose: [one.yaml, two.yaml]\na: {z: 3}")
    assert load_config(str(tmp_path / "mine.yaml")) == {"a": {"x": 1, "y": 2, "z": 3}, "b": 1}


def test_dates_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("t1: 2015-02-01\nt2: 2015-02-01T10:00:00\nn: 2015")
    assert load_config("a.yaml", tmp_path) == {"t1": "2015-02-01", "t2": "2015-02-01T10:00:00", "n": 2015}


def test_another_class_replaces_the_arguments_too() -> None:
    below = {"class_path": "A", "init_args": {"x": 1}}
    assert merge({"m": below}, {"m": {"class_path": "B"}}) == {"m": {"class_path": "B"}}
    assert merge({"m": below}, {"m": {"init_args": {"y": 2}}})["m"]["init_args"] == {"x": 1, "y": 2}
    early = {"init_args": {"x": 1}}
    assert merge({"m": early}, {"m": {"class_path": "B"}}) == {"m": {"class_path": "B", "init_args": {"x": 1}}}


def test_a_packaged_config_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config("toys_setrec_small.yaml").parent == PACKAGED
    (tmp_path / "toys_setrec_small.yaml").write_text("{}")
    assert find_config("toys_setrec_small.yaml") == Path("toys_setrec_small.yaml")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_packaged_config_names_data_and_model(name: str) -> None:
    config = load_config(name)
    assert set(config) >= {"data", "model"}
    assert "compose" not in config


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [1", r"bad.yaml, line \d: not valid YAML"), ("- 1", "mapping"), ("compose: [nothing.yaml]", "nothing.yaml")],
)
def test_bad_configs_are_told_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(GenrecError, match=said):
        load_config(str(tmp_path / "bad.yaml"))


def test_a_missing_config_comes_with_similar_names() -> None:
    with pytest.raises(GenrecError, match=r"did you mean .*toys_setrec\.yaml"):
        load_config("toy_setrec.yaml")


def test_packaged_configs_are_valid_yaml() -> None:
    for path in PACKAGED.rglob("*.yaml"):
        assert isinstance(yaml.safe_load(path.read_text()), dict), path

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch

from genrec.assets.codes.diagnostics import (
    collision_rate,
    describe,
    diagnose,
    entropy,
    report,
    warn_of_collapse,
    warn_of_ties,
)

CODES = torch.tensor([[0, 0], [0, 1], [0, 1], [2, 1]])


def test_numbers_by_hand() -> None:
    numbers = diagnose(CODES, [4, 4])
    assert numbers["items"] == 4
    assert numbers["collision_rate"] == collision_rate(CODES) == 1 - 3 / 4
    assert numbers["alike"] == numbers["largest_group"] == 2
    assert numbers["used"] == [2 / 4, 2 / 4]
    assert numbers["prefixes"] == [2, 3]
    # Three quarters and a quarter: log2(4/3) and log2(4) bits.
    expected = 3 / 4 * torch.log2(torch.tensor(4 / 3)).item() + 1 / 4 * 2
    assert numbers["entropy"] == pytest.approx([expected, expected])


def test_entropy_lies_between_nothing_and_all_codes_alike() -> None:
    assert entropy(torch.zeros(9, dtype=torch.long), 256) == 0
    assert entropy(torch.arange(256).repeat(3), 256) == pytest.approx(8)


def test_people_read_percentages() -> None:
    text = describe(diagnose(CODES, [4, 4]), 4)
    assert "4 items, 25.00% share another's codes, at most 2 the same" in text
    assert [line.split()[1] for line in text.splitlines()[2:]] == ["50.0%", "50.0%"]


def test_a_collapse_is_loud(recwarn: pytest.WarningsRecorder) -> None:
    codes = torch.stack([torch.arange(1000) % 256, torch.arange(1000) % 12], 1)
    warn_of_collapse(diagnose(codes, [256, 256]), 256)
    assert [str(each.message) for each in recwarn] == [
        "the codes have collapsed: of 256 codes, level 2 uses 12 for 1000 items; train for more steps, have unused "
        "codes replaced, or give fewer"
    ]


def test_levels_may_differ_in_size() -> None:
    assert diagnose(CODES.to(torch.uint8), [4, 2])["used"] == [2 / 4, 2 / 2]


def test_items_that_nothing_tells_apart_are_counted() -> None:
    with pytest.warns(UserWarning, match=r"^2 of 4 items share all of their codes with another, up to 2 the same: "):
        warn_of_ties(CODES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_ties(CODES[[0, 1, 3]])


def test_few_items_cannot_use_many_codes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_collapse(diagnose(torch.zeros(12, 1, dtype=torch.long), [256]), 256)


def test_a_report_is_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = {"steps": 9, "kept": 5, "reconstruction": 0.25, "first": {"a": 2.0}, "last": {"a": 1.0}}
    repaired = {"nearest": diagnose(CODES, [4, 4]), "moved_to_free_codes": 1}
    report("codes of toys", tmp_path, torch.tensor([[0, 0], [0, 1], [0, 2], [2, 1]]), 4, {**trained, **repaired})
    printed = capsys.readouterr().out
    assert "codes of toys: step 5 of 9 kept, 25.0% of the variance lost, 25.00% collisions of nearest codes" in printed
    assert "0.00% share another's codes" in printed
    assert "1 items moved to free codes" in printed
    kept = json.loads((tmp_path / "diagnostics.json").read_text())
    assert kept["nearest"]["collision_rate"] == 1 / 4
    assert kept["collision_rate"] == 0
    assert kept["last"] == {"a": 1.0}

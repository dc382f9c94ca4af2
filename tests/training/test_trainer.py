from __future__ import annotations

import inspect
from typing import get_args, get_type_hints

import lightning as L

from genrec.training.trainer import Trainer


def test_a_number_of_batches_is_never_read_as_a_share() -> None:
    """Whatever was imported before: 1 batch is not 1.0, which is all."""
    lightnings, ours = get_type_hints(L.Trainer.__init__), get_type_hints(Trainer.__init__)
    batches = [
        name for name in inspect.signature(L.Trainer).parameters if "batches" in name or "check_interval" in name
    ]
    shares = [name for name in batches if {int, float} <= set(get_args(lightnings[name]))]
    assert len(shares) == 6
    for name in shares:
        kinds = get_args(ours[name])
        assert set(kinds) == set(get_args(lightnings[name])), name
        assert kinds.index(int) < kinds.index(float), name
        assert (
            inspect.signature(Trainer).parameters[name].default == inspect.signature(L.Trainer).parameters[name].default
        )

"""Versions are told, also of what is not installed."""

from __future__ import annotations

import torch

from genrec.io.versions import versions


def test_what_is_not_installed_is_said_to_be() -> None:
    assert versions("torch", "no-such-library") == {
        "torch": str(torch.__version__),
        "no-such-library": "not installed",
    }

"""Plugins, and a checkout that is not installed."""

from __future__ import annotations

import pytest

from genrec.runs import plugins


def test_a_checkout_that_is_not_installed_names_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = plugins.plugins()
    assert {"genrec", "genrec_baselines"} <= installed
    monkeypatch.setattr(plugins, "_installed", lambda *_: ())
    assert plugins.plugins() == {"genrec", "genrec_baselines"}

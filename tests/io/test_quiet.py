from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterator

import huggingface_hub.utils
import pytest
import transformers.utils.logging

from genrec.io.quiet import LOGGERS, _worth_reading, quieten


@pytest.fixture(autouse=True)
def loud() -> Iterator[None]:
    """As if nothing had been silenced yet, and so it is again afterwards."""
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.enable_progress_bar()
    with warnings.catch_warnings():
        yield
    if not bars:
        transformers.utils.logging.disable_progress_bar()
        huggingface_hub.utils.enable_progress_bars()
    for name in LOGGERS:
        logging.getLogger(name).removeFilter(_worth_reading)


def test_noise_is_silenced_and_the_rest_is_not(caplog: pytest.LogCaptureFixture) -> None:
    quieten()
    with caplog.at_level(logging.INFO):
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.addHandler(caplog.handler)
            logger.info("GPU available: False, used: False")
            logger.info("Seed set to 42")
            logger.warning("GPU available but not used. You can set it by doing `Trainer(accelerator='gpu')`.")
            logger.removeHandler(caplog.handler)
    assert {record.getMessage().split(".")[0] for record in caplog.records} == {"GPU available but not used"}


def test_warnings_that_say_nothing_are_silenced() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quieten()
        warnings.warn("The number of training batches (12) is smaller than the logging interval", stacklevel=1)
        warnings.warn("It is recommended to use `self.log('val/ndcg@10', ..., sync_dist=True)` when", stacklevel=1)
        warnings.warn("The loss is not a number", stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["The loss is not a number"]


def test_only_bars_of_downloads_stay() -> None:
    quieten()
    assert not transformers.utils.logging.is_progress_bar_enabled()
    assert not huggingface_hub.utils.are_progress_bars_disabled()
    huggingface_hub.utils.disable_progress_bars()
    quieten()
    assert huggingface_hub.utils.are_progress_bars_disabled(), "as the user wants it"
    huggingface_hub.utils.enable_progress_bars()


def test_a_line_is_seen_when_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written))
    quieten()
    print("building text-minilm of toys ...")
    assert written.getvalue() == b"building text-minilm of toys ...\n"

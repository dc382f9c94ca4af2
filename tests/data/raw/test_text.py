from __future__ import annotations

import polars as pl
import pytest

from genrec.data.raw.text import price


@pytest.mark.parametrize(
    ("written", "read"),
    [
        *((text, 12.99) for text in ("12.99", "$12.99", " $ 12.99 ")),
        *((text, 1299.0) for text in ("1299", "1,299", "$1,299.00")),
        ("1,234,567.5", 1234567.5),
        # A decimal comma is no price: it would be a hundredfold.
        *((text, None) for text in ("12,99", "0,99", "1,5", "1,2,3", "12,9,9", "1.299,00", "1234,567", "5 - 9", "")),
    ],
)
def test_prices(written: str, read: float | None) -> None:
    assert pl.select(price(pl.lit(written))).item() == read

"""Rows of users that come in any order, kept on disk and read back in the order of the users, some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

USER = "user"
"""The column that tells whose a row is: a whole number, from 0 on."""
HELD = 2**24
"""Bytes of a part, which are held in memory at once: few megabytes become many where numbers become keys and titles."""


class Spool:
    """What one of several processes puts down.

    Args:
        folder: where the parts of all processes are.
        process: the number of this one.
    """

    def __init__(self, folder: Path, process: int = 0) -> None:
        self.folder = folder
        self.process = process
        self._held: list[pl.DataFrame] = []
        self._bytes, self._parts = 0.0, 0

    def add(self, rows: pl.DataFrame) -> None:
        """Take in rows; a user's come all at once."""
        self._held.append(rows)
        self._bytes += rows.estimated_size()
        if self._bytes >= HELD:
            self.close()

    def close(self) -> None:
        """Put down what is still held."""
        if self._held:
            rows = pl.concat(self._held).sort(USER, maintain_order=True)
            # Small groups: whoever wants some users reads no others.
            rows.write_parquet(self.folder / f"{self.process}-{self._parts}.parquet", row_group_size=2**14)
            self._parts += 1
        self._held, self._bytes = [], 0.0


def processes(folder: Path) -> set[int]:
    """The processes that have put something down."""
    return {int(path.stem.partition("-")[0]) for path in folder.glob("*-*.parquet")}


def in_order(folder: Path, users: int) -> Iterator[pl.DataFrame]:
    """All rows, those of the first users first; once there are any parts, at least one frame.

    Args:
        folder: where the parts are.
        users: how many there are.
    """
    parts = sorted(folder.glob("*-*.parquet"))
    sample = pl.read_parquet(parts[0], n_rows=1_000)
    rows = pl.scan_parquet(parts)
    size = sample.estimated_size() / max(1, len(sample)) * rows.select(pl.len()).collect().item()
    step = max(1, users if size <= HELD else int(users * HELD / size))
    for first in range(0, max(1, users), step):
        of_some = rows.filter(pl.col(USER).is_between(first, first + step - 1)).collect()
        yield of_some.sort(USER, maintain_order=True)


def write_frames(path: Path, frames: Iterable[pl.DataFrame]) -> int:
    """Write one frame after the other into a ``.parquet`` or ``.jsonl`` file, and count their rows."""
    import pyarrow.parquet as pq  # takes longer than most tables

    count, writer = 0, None
    try:
        for frame in frames:
            count += len(frame)
            if path.suffix == ".jsonl":
                with path.open("ab") as file:
                    frame.write_ndjson(file)
                continue
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()
    return count

"""Lists for the histories of a file of any length: part by part, so that what was killed goes on where it was.

Beside the output lies a folder ``<output>.parts``: a file for every window of users, in their order, and a note of what
decides the lists. When all are there they become the output, and the folder goes. A window is ranked the same whoever
else is asked, so the output of a run that was killed is that of one that was not, byte by byte.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from genrec.data.origin import Origin
from genrec.errors import GenrecError
from genrec.io.files import write_new, write_over, write_text
from genrec.io.folders import sha256
from genrec.io.spool import write_frames
from genrec.io.versions import versions
from genrec.serving import asked, histories
from genrec.serving.histories import Row
from genrec.serving.lists import Lists
from genrec.serving.served import BATCHES, Served

NOTE, LOCK = "made_of.json", ".lock"
SLICE = 2**20
"""Items that are hashed at a time."""


class Batch:
    """Lists for all users of a file.

    Args:
        served: ranks.
        source: the file, see `genrec.serving.histories`.
        output: a ``.parquet`` or ``.jsonl`` file. An older one is renamed.
        k: as `Served.recommend`, and so are the others.
        allowed: the keys of items.
        repeats: whether items of a history may be recommended.
        skip_unknown: whether unknown items are left out.

    Raises:
        GenrecError: if an allowed item is unknown, or k is larger than what may be recommended to anybody.
    """

    def __init__(
        self,
        served: Served,
        source: Path,
        output: Path,
        k: int,
        allowed: Sequence[str] | None,
        repeats: bool,
        skip_unknown: bool,
    ) -> None:
        self.served, self.source, self.output, self.k = served, source, output, k
        self.skip_unknown = skip_unknown
        rows = None if allowed is None else served.rows(allowed)
        self.size = BATCHES * served.data.rank_batch_size
        self.lists = Lists(served.model, served.data, served.index, k, rows, repeats)
        self.lists.check([[]], 0)
        allowed = None if allowed is None else sorted(allowed)
        self.asked = {"k": k, "allowed items": allowed, "repeats": repeats, "unknown items": skip_unknown}
        self.folder = output.with_name(f"{output.name}.parts")

    def run(self) -> int:
        """Look at all histories, then rank those that have no lists yet, and write them all.

        Returns:
            how many recommendations were written.

        Raises:
            GenrecError: naming file and row of an unknown item, or of a user to whom fewer than k items may be
                recommended; if the parts that are there were made otherwise, or somebody else makes them.
        """
        users = self._check()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / LOCK, timeout=0):
                self._take_up()
                parts = self._rank(users)
                write_new(self.output, lambda path: write_frames(path, map(pl.read_parquet, parts)))
                shutil.rmtree(self.folder)
        except Timeout as error:
            raise GenrecError(f"another process writes `{self.output}`: wait for it to end, or stop it") from error
        except OSError as error:
            raise GenrecError(f"cannot write `{error.filename or self.folder}`: {error.strerror or error}") from error
        return users * self.k

    def _check(self) -> int:
        """Whether everybody can have his list; what is left out of histories is said. How many users there are."""
        known, users = asked.Known(self.served.catalog), 0
        for window in histories.windows(self.source, self.size):
            found = self._histories(window, known)
            try:
                self.lists.check(found, users)
            except GenrecError:
                for row, history in zip(window, found, strict=True):
                    self._check_row(row, history)
                raise
            users += len(window)
        known.tell()
        return users

    def _check_row(self, row: Row, history: list[str]) -> None:
        try:
            self.lists.check([history], 0)
        except GenrecError as error:
            reason = str(error).replace("user 0 has", "this user has")
            raise GenrecError(f"{row.where}: {reason}") from error

    def _histories(self, window: Sequence[Row], known: asked.Known) -> list[list[str]]:
        found = [row.history for row in window]
        return known.of(found) if self.skip_unknown else found

    def _take_up(self) -> None:
        """Whether the parts that are there may be gone on with.

        Raises:
            GenrecError: if they were made otherwise.
        """
        note = self.folder / NOTE
        made_of = {
            "histories": sha256(self.source),
            "recommender": fingerprint(self.served),
            "index": None if self.served.index is None else getattr(self.served.index, "kind", "exact"),
            "device": str(self.served.model.device),
            "users of a part": self.size,
            "versions": versions("genrec", "torch", "transformers"),
            **self.asked,
        }
        if not note.exists():
            write_text(note, json.dumps(made_of) + "\n")
            return
        try:
            before = json.loads(note.read_text(encoding="utf-8"))
            changed = [name for name, value in made_of.items() if before[name] != value]
        except (ValueError, LookupError, TypeError):
            changed = [NOTE]
        if changed:
            raise GenrecError(
                f"`{self.folder}` holds parts of lists that were made with other {', '.join(changed)}: ask for "
                "what was asked before, give another --output, or delete the folder to begin again"
            )

    def _rank(self, users: int) -> list[Path]:
        """Make the parts that are missing; the files of all, in order."""
        columns = TextColumn("ranked"), BarColumn(), MofNCompleteColumn(), TextColumn("users"), TimeRemainingColumn()
        known, parts, there = asked.Known(self.served.catalog), [], 0
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("", total=users)
            for number, window in enumerate(histories.windows(self.source, self.size)):
                path = self.folder / f"{number:06}.parquet"
                if path.exists():
                    there += len(window)
                else:
                    frame = self._lists_of(window, known, number * self.size)
                    write_over(path, frame.write_parquet)
                parts.append(path)
                progress.advance(task, len(window))
        if there:
            print(f"took {there:,} of {users:,} lists from {self.folder}, where they were already", file=sys.stderr)
        return parts

    def _lists_of(self, window: Sequence[Row], known: asked.Known, first: int) -> pl.DataFrame:
        frame = self.lists.of(self._histories(window, known), first)
        users = pl.Series(histories.USER, [row.user for row in window])
        return frame.with_columns(users.gather(np.arange(len(window)).repeat(self.k)))


def fingerprint(served: Served) -> str:
    """A hash of what decides the lists of a recommender, but for what it is asked."""
    model, digest = served.model, hashlib.sha256()
    assets = {name: value for name, value in served.config.get("assets", {}).items() if name != "root"}
    origin = Origin.of(served.dataset, {})
    about = [served.config.get("model"), assets, served.data.max_history, origin.order, origin.splits]
    digest.update(json.dumps(about, sort_keys=True, default=str).encode())
    digest.update(origin.counts.tobytes())
    digest.update(model.candidates.tobytes())
    for part in served.catalog.items.iter_slices(SLICE):
        digest.update(part.write_ndjson().encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

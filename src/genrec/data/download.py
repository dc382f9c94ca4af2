"""Files from the net: resumed where they stopped, checked, and never half a file under the name of a whole one."""

from __future__ import annotations

import json
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shutil import copyfileobj
from typing import Any

import requests
from filelock import FileLock
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from genrec.data.files.compressed import open_member
from genrec.errors import GenrecError
from genrec.io.files import write_text
from genrec.io.folders import sha256

CHECKSUMS = "checksums.json"
"""What every file of a folder was when it was first downloaded: url, bytes, sha256."""
CHUNK = 2**16
TIMEOUT = 30
"""Seconds of silence after which a connection counts as broken."""
ATTEMPTS = 4
"""How many attempts may bring nothing, one after another."""
BACKOFF = 1.0
"""Seconds of rest after an attempt that brought nothing; they double with every further one."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded.

    Args:
        url: where it is.
        bytes: its size, where it is known beforehand.
        sha256: its hash, where it is known beforehand.
    """

    url: str
    bytes: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The last part of the url."""
        return PurePosixPath(self.url).name


def fetch(file: RemoteFile, folder: Path, mirror: str | None = None) -> Path:
    """The file in a folder, downloaded if it is not there yet.

    A download that was cut off goes on where it stopped. The hash of a file that none was given for is recorded on the
    first download, and another content is refused from then on.

    Args:
        file: what is wanted.
        folder: where it is kept, beside ``checksums.json``.
        mirror: the url of a folder that holds the file under the same name, to be asked instead.

    Raises:
        GenrecError: if the file cannot be had, or is not what it should be.
    """
    path = folder / file.name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{file.name}.lock"):
        recorded = checksums(folder).get(file.name)
        if path.is_file() and recorded and path.stat().st_size == recorded["bytes"]:
            return path
        if path.is_file():
            # Put here by hand, or the process died before it could say what it had fetched.
            _accept(path, path, file, recorded)
            return path
        url = f"{mirror.rstrip('/')}/{file.name}" if mirror else file.url
        unfinished = folder / f".{file.name}.part"
        _download(url, unfinished)
        _accept(unfinished, path, RemoteFile(url, file.bytes, file.sha256), recorded)
        return path


def _accept(unchecked: Path, path: Path, file: RemoteFile, recorded: dict[str, Any] | None) -> None:
    """Give a file its name if it is what was expected, and record what it is."""
    found = {"url": file.url, "bytes": unchecked.stat().st_size, "sha256": sha256(unchecked)}
    expected = {"bytes": file.bytes, "sha256": file.sha256}
    for key in expected:
        should = expected[key] or (recorded or {}).get(key)
        if should is not None and should != found[key]:
            if unchecked != path:
                unchecked.unlink()
            raise GenrecError(
                f"`{path}` ({file.url}) is not the file that it should be: its {key} is {found[key]}, not {should}; "
                f"delete it to download it again{f', or its entry in {CHECKSUMS} if it may change' * bool(recorded)}"
            )
    # First the record: a file of the right name without one would be read and hashed once more, no harm done.
    record = {**checksums(path.parent), path.name: found}
    write_text(path.parent / CHECKSUMS, json.dumps(record, indent=2, sort_keys=True) + "\n")
    unchecked.replace(path)


def checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """What is recorded of the files of a folder: url, bytes and sha256 by name.

    Raises:
        GenrecError: if the record is broken.
    """
    try:
        return json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise GenrecError(f"`{folder / CHECKSUMS}` is broken ({error}): delete it") from error


def _download(url: str, path: Path) -> None:
    """Fill ``path`` from a url, in as many attempts as it takes."""
    problem, fruitless = "", 0
    with _progress() as progress:
        bar = progress.add_task(PurePosixPath(url).name, total=None)
        while fruitless < ATTEMPTS:
            before = _size(path)
            try:
                return _attempt(url, path, progress, bar)
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                problem = type(error).__name__
            except requests.HTTPError as error:
                problem = f"{error.response.status_code} {error.response.reason}"
                if error.response.status_code < 500 and error.response.status_code != 429:
                    break
            except requests.RequestException as error:
                raise GenrecError(f"cannot download `{url}`: {error}") from error
            fruitless = 0 if _size(path) > before else fruitless + 1
            if 0 < fruitless < ATTEMPTS:
                time.sleep(BACKOFF * 2 ** (fruitless - 1))
    raise GenrecError(
        f"cannot download `{url}`: {problem}; try again later (what has arrived is kept), give another `mirror`, or "
        "put the file into a folder and give it as `files`"
    )


def _attempt(url: str, path: Path, progress: Progress, bar: TaskID) -> None:
    """Fetch what is missing; raises if less than everything arrived."""
    tag = path.with_name(path.name + ".etag")
    have = _size(path)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if tag.is_file():
            # If the file has changed since, the server sends all of it.
            headers["If-Range"] = tag.read_text(encoding="utf-8")
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            # What is here is not the beginning of what is there, or it is whole: the next attempt begins anew.
            path.unlink(missing_ok=True)
            raise requests.ConnectionError("the part that was kept does not fit")
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        if etag := answer.headers.get("ETag"):
            tag.write_text(etag, encoding="utf-8")
        progress.update(bar, total=total, completed=have)
        with path.open("ab" if have else "wb") as file:
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                progress.update(bar, advance=len(chunk))
    if total is not None and path.stat().st_size != total:
        raise requests.ConnectionError("the connection ended early")
    tag.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        transient=True,
    )


def extract(archive: Path, member: str, folder: Path) -> Path:
    """One member of a zip archive, as a file of its own name in a folder.

    Only the member's last name is used, so no archive can write outside the folder.

    Raises:
        GenrecError: if the archive is broken or encrypted, has no such member, or one of absurd size.
    """
    path = folder / PurePosixPath(member).name
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with (
            zipfile.ZipFile(archive) as contents,
            open_member(contents, _named(contents, member), archive) as source,
            unfinished.open("wb") as target,
        ):
            copyfileobj(source, target)
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise GenrecError(f"`{archive}` is broken ({error}): delete it to download it again") from error
    except KeyError as error:
        raise GenrecError(f"`{archive}` has no member `{member}`: is it another data set?") from error
    unfinished.replace(path)
    return path


def _named(archive: zipfile.ZipFile, member: str) -> str:
    """A member of this name, or the only one with the same last name."""
    if member in archive.namelist():
        return member
    alike = [name for name in archive.namelist() if PurePosixPath(name).name == PurePosixPath(member).name]
    return alike[0] if len(alike) == 1 else member

"""Compressed files and archives, opened so that a small one cannot become a boundless one."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

from genrec.errors import GenrecError

RATIO = 200
"""Files of records become 5 to 20 times smaller, those of a single record repeated a thousand times."""
HARMLESS = 2**28
"""So many bytes may come out of a file of any size."""
ENDINGS = (".gz", ".bz2", ".xz", ".zip", ".zst")


def opened(file: IO[bytes], name: str) -> IO[bytes]:
    """What is in a file, unpacked if it is compressed, which its first bytes say: endings are often wrong.

    Args:
        file: the file, which can be searched.
        name: for errors.

    Raises:
        GenrecError: if it is an archive of anything but one file; later, while it is read, if far more comes out of
            the file than files of records hold.
    """
    start = file.read(6)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        unpacked: Any = gzip.GzipFile(fileobj=file)
    elif start.startswith(b"BZh"):
        unpacked = bz2.BZ2File(file)
    elif start.startswith(b"\xfd7zXZ"):
        unpacked = lzma.LZMAFile(file)  # noqa: SIM115 - closed with the stream around it
    elif start.startswith(b"PK\x03\x04"):
        unpacked = _only_member(file, name)
    elif start.startswith(b"\x28\xb5\x2f\xfd"):
        raise GenrecError(f"`{name}` is compressed with zstd, which is not read: use gzip, or unpack it")
    else:
        return file
    return io.BufferedReader(_Bounded(unpacked, size, name), 2**20)


class _Bounded(io.RawIOBase):
    """A stream that ends in an error when it is out of proportion."""

    def __init__(self, inner: IO[bytes], size: int, name: str) -> None:
        self.inner, self.size, self.name, self.seen = inner, size, name, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self.inner.read(len(buffer))
        except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
            raise OSError(str(error)) from error
        self.seen += len(data)
        check_size(self.name, self.seen, self.size)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.inner.close()
        super().close()


def check_size(name: str, unpacked: int, packed: int) -> None:
    """Whether so much may come out of a file.

    Raises:
        GenrecError: if it may not.
    """
    if unpacked > max(HARMLESS, RATIO * packed):
        raise GenrecError(
            f"`{name}` has {packed:,} bytes and unpacks to {unpacked:,} or more: that is no file of records; unpack it "
            "by hand if you trust it"
        )


def _only_member(file: IO[bytes], name: str) -> IO[bytes]:
    try:
        archive = zipfile.ZipFile(file)
        members = [
            each for each in archive.infolist() if not each.is_dir() and not each.filename.startswith("__MACOSX/")
        ]
        if len(members) != 1:
            raise GenrecError(
                f"the archive `{name}` holds {len(members)} files: unpack it, and name the one to be read"
            )
        return open_member(archive, members[0].filename, name)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise GenrecError(f"the archive `{name}` is broken ({error})") from error


def open_member(archive: zipfile.ZipFile, member: str, name: str | Path) -> IO[bytes]:
    """A member of an archive, once its size is known to be one.

    Raises:
        GenrecError: if it is encrypted, packed in an unknown way, or out of proportion.
        KeyError: if there is no such member.
    """
    info = archive.getinfo(member)
    check_size(f"{name}: {member}", info.file_size, info.compress_size)
    try:
        return archive.open(info)
    except (RuntimeError, EOFError) as error:  # zipfile's word for a missing password, and for an unknown compression
        raise GenrecError(f"`{member}` of `{name}` cannot be unpacked: {error}") from error

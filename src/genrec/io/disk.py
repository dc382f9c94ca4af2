"""What the system says of files and folders that cannot be used, in one line."""

from __future__ import annotations

import errno

_REASONS = {
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "larger than files may be here (`ulimit -f`)",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EISDIR: "it is a folder",
    errno.EEXIST: "there is something else of that name",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOENT: "it is not there, and cannot be made",
    errno.EIO: "the disk does not answer",
    errno.EMFILE: "too many files are open (`ulimit -n`)",
}


def cannot_write(error: BaseException | None) -> str | None:
    """The line for an exception that comes from a file or folder that cannot be written or read; None for any other.

    Libraries wrap what the system says, or put it into words of their own.
    """
    said = str(error)
    while error is not None:
        if isinstance(error, OSError) and error.errno in _REASONS:
            file = f"`{error.filename}`" if error.filename else "a file or standard output"
            return f"cannot use {file}: {_REASONS[error.errno]}; choose another place, or make room"
        error = error.__cause__
    if (
        "PytorchStreamWriter failed" in said
        or "iostream error" in said
        or "No space left on device" in said
        or "File too large" in said
    ):
        return "cannot write a file: the disk is full, or files may not be so large here (`ulimit -f`); make room"
    return None

"""Folders of saved recommenders on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError

from genrec.errors import GenrecError
from genrec.io.manifest import KINDS

# Which HTTP library the client uses depends on its version; that library's error is a base of the client's own.
ERRORS: Any = (OSError, ValueError, *HfHubHTTPError.__bases__)
"""What the hub's client raises: no connection, no such name, no permission."""


def fetch(name: str) -> Path:
    """The folder of a repository; what was fetched before is not fetched again.

    Raises:
        GenrecError: if there is no such repository, or it cannot be reached.
    """
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=[f"*{kind}" for kind in KINDS]))
    except ERRORS as error:
        raise GenrecError(
            f"`{name}` is no folder, and cannot be fetched from the Hugging Face hub ({_reason(error)}): check the "
            "name and the connection"
        ) from error


def upload(folder: Path, name: str) -> None:
    """Put the files of a folder into a repository, which is made if it is not there.

    Raises:
        GenrecError: if the hub cannot be reached, or does not let us.
    """
    hub = huggingface_hub.HfApi()
    try:
        hub.create_repo(name, exist_ok=True)
        hub.upload_folder(repo_id=name, folder_path=folder)
    except ERRORS as error:
        raise GenrecError(
            f"cannot put `{name}` on the Hugging Face hub ({_reason(error)}): check the name, the connection and "
            "`hf auth login`"
        ) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:150] or type(error).__name__

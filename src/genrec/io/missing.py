"""Packages that only some commands need: one that is not there is told where it is needed, in one line."""

from __future__ import annotations

PACKAGES = {
    "faiss": "faiss-cpu",
    "fastapi": "'genrec[serve]'",
    "litserve": "'genrec[serve]'",
    "matplotlib": "matplotlib",
    "optuna": "optuna",
    "peft": "peft",
    "prometheus_client": "'genrec[serve]'",
    "sentence_transformers": "sentence-transformers",
    "sklearn": "scikit-learn",
    "tensorboard": "tensorboard",
    "uvicorn": "'genrec[serve]'",
}
"""What pip calls them, by the names they are imported by."""


def missing_package(error: Exception) -> str | None:
    """The line for an import that failed because one of `PACKAGES` is not there; None for every other exception."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    package = PACKAGES.get(error.name.partition(".")[0])
    return package and f"this needs a package that is not there: pip install {package}"

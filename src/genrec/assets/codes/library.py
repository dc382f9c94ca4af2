"""vector-quantize-pytorch, an optional package: asked for where it is used."""

from __future__ import annotations

from typing import Any

from genrec.errors import GenrecError


def quantizers(who: str) -> Any:
    """The module with the quantisers.

    Args:
        who: needs it.

    Raises:
        GenrecError: if it is not installed.
    """
    try:
        import vector_quantize_pytorch
    except ImportError as error:
        raise GenrecError(
            f"{who} needs the optional package vector-quantize-pytorch: pip install 'genrec[quantize]'"
        ) from error
    return vector_quantize_pytorch

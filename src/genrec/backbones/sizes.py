"""The configuration of a new model from its sizes, which Hugging Face takes whatever they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transformers import PretrainedConfig

from genrec.errors import GenrecError, first_line
from genrec.signatures import nearest


def configured(make: Callable[..., PretrainedConfig], who: str, sizes: Mapping[str, Any], **own: Any) -> Any:
    """A model's configuration.

    Args:
        make: makes it of its fields.
        who: whose it is.
        sizes: fields that a user has given.
        own: fields that are not his to give.

    Raises:
        GenrecError: for a field that there is none of, is given already, or cannot have its value.
    """
    plain = make()
    known = [*vars(plain), *plain.attribute_map]
    for key, value in sizes.items():
        if key not in known:
            raise GenrecError(f"`sizes` of {who}: `{key}` is no field of {type(plain).__name__}{nearest(key, known)}")
        if key in own:
            raise GenrecError(f"`sizes` of {who}: `{key}` follows from the tokenizer, leave it out")
        if type(getattr(plain, key)) is int and not key.endswith("_id") and type(value) is int and value < 1:
            raise GenrecError(f"`sizes` of {who}: `{key}` is {value}: give 1 or more")
    try:
        return make(**sizes, **own)
    except Exception as error:
        given = ", ".join(f"{key}: {value}" for key, value in sizes.items())
        reason = str(error.__cause__ or error).strip().splitlines() or [first_line(error)]
        raise GenrecError(
            f"no {type(plain).__name__} can have the `sizes` {{{given}}} of {who}: {reason[-1]}"
        ) from error

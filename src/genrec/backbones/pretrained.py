"""Decoder-only language models with their weights: from the hub, a folder or an installed package."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from genrec.backbones.attention.prompt import ATTENTION
from genrec.backbones.base import check_whole
from genrec.errors import GenrecError
from genrec.io.bounds import at_most, room_of

PACKAGE = "package:"


def load_pretrained(
    name: str,
    dtype: torch.dtype,
    bits: Literal[4, 8] | None = None,
    gguf_file: str | None = None,
    only_safetensors: bool = False,
) -> tuple[Any, Any]:
    """The tokenizer and the model with its head, which attends as `genrec.backbones.attention.prompt` says.

    Args:
        name: of the model on the hub, a folder, or ``package:<name>`` of an installed package that brings its weights.
        dtype: of the weights.
        bits: of the weights where they are quantised, by bitsandbytes.
        gguf_file: the file in the folder that holds them.
        only_safetensors: refuse weights that are pickled.

    Raises:
        GenrecError: if it cannot be had, or lacks weights.
    """
    if name.startswith(PACKAGE):
        name = _package_folder(name.removeprefix(PACKAGE))
    files: dict[str, Any] = {"trust_remote_code": False}
    if gguf_file:
        files["gguf_file"] = gguf_file
    options: dict[str, Any] = {"attn_implementation": ATTENTION, "dtype": dtype, **files}
    options["use_safetensors"] = only_safetensors or None
    if bits is not None:
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_8bit=bits == 8, load_in_4bit=bits == 4, bnb_4bit_compute_dtype=torch.bfloat16
        )
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **files)
        with at_most(partial(room_of, name), "its files"):
            found: Any = transformers.AutoModelForCausalLM.from_pretrained(name, output_loading_info=True, **options)
        whole, about = found
        check_whole(about)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise GenrecError(
            f"cannot load the model `{name}`: {reason} Check the name and the connection, give a local folder, or "
            "use a `..._small.yaml` config, which needs no network"
        ) from error
    return tokenizer, whole


def _package_folder(package: str) -> str:
    # A name with a dot would import what stands before it.
    found = find_spec(package) if package.isidentifier() else None
    if found is None or found.origin is None:
        raise GenrecError(f"the model of package `{package}` is not there: install it with pip")
    return str(Path(found.origin).parent)

"""What of a Hugging Face model a saved recommender has in folders of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKENIZER, LANGUAGE_MODEL = "tokenizer", "language_model"


def save_tokenizer(folder: Path, tokenizer: PreTrainedTokenizerBase) -> dict[str, str | None]:
    """The tokenizer of a new model, whose weights are parameters like others; see `Backbone.save`."""
    tokenizer.save_pretrained(str(folder / TOKENIZER))
    return {"tokenizer": TOKENIZER}


def save_model(folder: Path, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> dict[str, str | None]:
    """A pre-trained model that was trained on, and its tokenizer; see `Backbone.save`."""
    tokenizer.save_pretrained(str(folder / LANGUAGE_MODEL))
    model.save_pretrained(str(folder / LANGUAGE_MODEL))
    return {"pretrained": LANGUAGE_MODEL}

"""The only code that knows Hugging Face models."""

from genrec.backbones.base import Backbone, Memory
from genrec.backbones.t5 import T5Backbone

__all__ = ["Backbone", "Memory", "T5Backbone"]

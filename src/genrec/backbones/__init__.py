"""The only code that knows Hugging Face models."""

from genrec.backbones.base import Backbone, Memory
from genrec.backbones.causal import CausalBackbone
from genrec.backbones.lora import LoRA
from genrec.backbones.t5 import T5Backbone

__all__ = ["Backbone", "CausalBackbone", "LoRA", "Memory", "T5Backbone"]
